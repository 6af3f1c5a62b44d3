"""What training starts from: the base model's files and the rows that prepare left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import DatasetSpec
from lora_contract.layout import RunLayout
from lora_contract.lineage import Ancestor
from lora_contract.order import TrainOrder
from lora_trainer import model_files
from lora_trainer import objective as objectives
from lora_trainer.batches.mixture import Mixture
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from lora_trainer.ledger import checkpoint_files
from lora_trainer.ledger import checkpoints as stored
from lora_trainer.ledger.checkpoints import Checkpoint, CheckpointManifest
from lora_trainer.model_files import StagedModel
from lora_trainer.objective import Objective
from lora_trainer.planning.epoch_rows import epoch_rows
from lora_trainer.planning.evaluation_rows import chosen
from lora_trainer.processes.group import Group
from lora_trainer.publish import find_parent
from lora_trainer.store import Store, about
from lora_trainer.train import parent_weights
from lora_trainer.train.parent_weights import Weights


@dataclass(frozen=True)
class Parent:
    """The adapter that the run goes on from. `lineage`: itself, and those above it."""

    weights: Weights
    lineage: list[Ancestor]


#: Folder of the prepared rows, below the one that the processes of a pod share.
ROWS = "rows"


@dataclass(frozen=True)
class Inputs:
    """Everything that is read before training."""

    model: StagedModel
    objective: Objective
    train: Rows
    validation: Rows | None
    test: Rows | None
    profile: DataProfile | None
    parent: Parent | None = None
    """What training begins with; None: a fresh adapter."""
    chat_template: str | None = None
    """The chat template that the rows were made with, where it is not the one in the model's files."""


def checkpoint(store: Store, layout: RunLayout, folder: Path, group: Group) -> Checkpoint | None:
    """Bring the newest checkpoint to this machine, once for all processes of the pod, which share `folder`.

    Raises:
        TrainerError: 69, pods of the run do not see the same one; the next try will.
    """
    into = folder / "checkpoint"

    def bring() -> str | None:
        with about(spec_paths.OUTPUT_URI):
            found = stored.latest(store, layout, into, checkpoint_files.check)
        return None if found is None else found.manifest.model_dump_json(by_alias=True)

    mine = group.from_pod_leader("checkpoint", str | None, bring)
    if mine != group.from_leader("checkpoint", str | None, lambda: mine):
        raise TrainerError(ExitCode.UNAVAILABLE, "the pods of the run do not see the same newest checkpoint")
    return None if mine is None else Checkpoint(into, CheckpointManifest.model_validate_json(mine))


def fetch(order: TrainOrder, store: Store, layout: RunLayout, folder: Path, group: Group) -> Inputs:
    """Bring model, rows and parent to this machine, once for all processes of the pod, which share `folder`.

    Raises:
        TrainerError: 66, the prepared rows are gone; whatever staging the model raises.
    """
    rows = folder / ROWS

    def bring() -> list[str]:
        staged = model_files.stage(order, store, folder / "model")
        rows.mkdir(parents=True, exist_ok=True)
        with about(spec_paths.OUTPUT_URI):
            for name in (prepared.TRAIN, prepared.VALIDATION, prepared.TEST, prepared.CHAT_TEMPLATE):
                uri = f"{layout.prepared}/{name}"
                if store.info(uri) is not None:
                    store.download(uri, rows / name)
        return [str(staged.path), staged.commit, staged.content]

    path, commit, content = group.from_pod_leader("inputs", list[str], bring)
    objective = objectives.chosen(order.spec)
    train = _rows(objective, rows / prepared.TRAIN)
    if train is None:
        raise TrainerError(
            ExitCode.INPUT_MISSING,
            f"the prepared rows are not in {layout.prepared} any more",
            param=spec_paths.OUTPUT_URI,
            hint="Keep the _work prefix until the run has ended; change spec.runToken to prepare again.",
        )
    with about(spec_paths.OUTPUT_URI):
        profile = _profile(store, layout)
    train.mixture = mixture(order.spec.dataset, train)
    validation, test = _rows(objective, rows / prepared.VALIDATION), _rows(objective, rows / prepared.TEST)
    if validation is not None:
        validation = _affordable(objective, validation, rows / prepared.VALIDATION, order)
    template = rows / prepared.CHAT_TEMPLATE
    chat_template = template.read_text(encoding="utf-8") if template.is_file() else None
    return Inputs(
        StagedModel(Path(path), commit, content),
        objective,
        train,
        validation,
        test,
        profile,
        parent=_parent(order, store, folder / "parent.safetensors", group),
        chat_template=chat_template,
    )


def _parent(order: TrainOrder, store: Store, path: Path, group: Group) -> Parent | None:
    """Bring the weights of the adapter that the run goes on from, once for all processes of the pod, to `path`."""

    def bring() -> list[str]:
        found = find_parent(store, order.spec, order.parent)
        if found is None:
            return []
        found.download_weights(path)
        return [ancestor.model_dump_json() for ancestor in found.lineage]

    lineage = [Ancestor.model_validate_json(text) for text in group.from_pod_leader("parent", list[str], bring)]
    return Parent(parent_weights.load(path), lineage) if lineage else None


def _rows(objective: Objective, path: Path) -> Rows | None:
    if not path.is_file():
        return None
    rows = objective.rows(path)
    return rows if len(rows) else None


def mixture(dataset: DatasetSpec, rows: Rows) -> Mixture | None:
    """Tell how often the rows come in an epoch; None where the run has no sources: once each."""
    if dataset.sources is None:
        return None
    counts = np.bincount(rows.sources, minlength=len(dataset.sources)).tolist()
    return Mixture(rows.sources, tuple(epoch_rows(dataset, counts)))


def _affordable(objective: Objective, rows: Rows, path: Path, order: TrainOrder) -> Rows:
    """Choose the validation rows that an evaluation takes by the plan; a plan of an older version takes all."""
    count = order.plan.evaluation_rows
    if count is None or count >= len(rows):
        return rows
    return objective.rows(path, only=chosen(count, len(rows), order.spec.training.seed))


def _profile(store: Store, layout: RunLayout) -> DataProfile | None:
    content = store.read_if_exists(f"{layout.prepared}/{prepared.PROFILE}")
    try:
        return None if content is None else DataProfile.model_validate_json(content)
    except ValidationError:
        return None
