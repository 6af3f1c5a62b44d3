"""What training starts from: the base model's files and the rows that prepare left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.order import Order
from lora_trainer import model_files
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from lora_trainer.evaluation_budget import chosen
from lora_trainer.model_files import StagedModel
from lora_trainer.store import Store, about
from lora_trainer.train.rows import Rows


@dataclass(frozen=True)
class Inputs:
    """Everything that is read before training."""

    model: StagedModel
    train: Rows
    validation: Rows | None
    test: Rows | None
    profile: DataProfile | None


def fetch(order: Order, store: Store, layout: RunLayout, folder: Path) -> Inputs:
    """Bring model and rows to this machine.

    Raises:
        TrainerError: 66, the prepared rows are gone; whatever staging the model raises.
    """
    staged = model_files.stage(order, store, folder / "model")
    rows = folder / "rows"
    rows.mkdir(parents=True, exist_ok=True)
    with about("spec.output.uri"):
        train = _rows(store, layout, prepared.TRAIN, rows)
        if train is None or not len(train):
            raise TrainerError(
                ExitCode.INPUT_MISSING,
                f"the prepared rows are not in {layout.prepared} any more",
                param="spec.output.uri",
                hint="Keep the _work prefix until the run has ended; change spec.runToken to prepare again.",
            )
        validation = _rows(store, layout, prepared.VALIDATION, rows)
        if validation is not None:
            validation = _affordable(validation, rows / prepared.VALIDATION, order)
        test = _rows(store, layout, prepared.TEST, rows)
        profile = _profile(store, layout)
    return Inputs(staged, train, validation, test, profile)


def _rows(store: Store, layout: RunLayout, name: str, folder: Path) -> Rows | None:
    uri = f"{layout.prepared}/{name}"
    if store.info(uri) is None:
        return None
    store.download(uri, folder / name)
    rows = Rows(folder / name)
    return rows if len(rows) else None


def _affordable(rows: Rows, path: Path, order: Order) -> Rows:
    """The validation rows that the plan says an evaluation takes; a plan of an older version takes all."""
    count = None if order.plan is None else order.plan.evaluation_rows
    if count is None or count >= len(rows):
        return rows
    return Rows(path, only=chosen(count, len(rows), order.spec.training.seed))


def _profile(store: Store, layout: RunLayout) -> DataProfile | None:
    content = store.read_if_exists(f"{layout.prepared}/{prepared.PROFILE}")
    try:
        return None if content is None else DataProfile.model_validate_json(content)
    except ValidationError:
        return None
