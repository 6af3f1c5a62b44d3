"""Whether what the spec wants to be measured can be measured on the rows that there are, before a GPU is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

from lora_contract import spec_paths
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import prepared
from lora_trainer.errors import TrainerError, bad_data
from lora_trainer.evaluation.answers import HeldOutRow, answered, json_object

_ROWS_AT_ONCE = 64


def check(spec: LoRAFineTuneSpec, rows: Mapping[str, int], folder: Path) -> None:
    """Hold early stopping and the gate against the prepared rows.

    `rows` are counts by split, `folder` holds the files of `data.prepared`.

    Raises:
        TrainerError: 65, there is nothing to measure them on.
    """
    dataset, gate = spec.dataset, spec.evaluation.gate
    if spec.training.early_stopping is not None and not rows["validation"]:
        raise _no_rows(
            "validation", dataset.validation_uri is not None, "training.earlyStopping", "remove training.earlyStopping"
        )
    if gate.needs_test_rows and not rows["test"]:
        raise _no_rows("test", dataset.test_uri is not None, "evaluation.gate", "remove the limits of evaluation.gate")
    if gate.needs_answers:
        _check_answers(spec, folder / prepared.TEST)


def _no_rows(split: str, own_address: bool, purpose: str, way_out: str) -> TrainerError:
    """The words for a split without rows that `purpose`, a field of the spec, needs."""
    if own_address:
        return bad_data(
            f"dataset.{split}Uri holds no row that can be used, and {purpose} needs some",
            param=f"spec.dataset.{split}Uri",
            hint=f"put rows there, or {way_out}",
        )
    return bad_data(
        f"no row fell into the {split} split, and {purpose} needs some: there are few rows, and its share is small",
        param=f"spec.dataset.split.{split}",
        hint=f"raise dataset.split.{split}, add rows, set dataset.{split}Uri, or {way_out}",
    )


def _check_answers(spec: LoRAFineTuneSpec, path: Path) -> None:
    """Look at the test rows whose answers the gate is about."""
    chosen = answered(_test_rows(path), spec.evaluation.samples, spec.training.max_length)
    if not chosen:
        raise bad_data(
            f"every prompt of a test row is longer than training.maxLength {spec.training.max_length}, so none is"
            " answered, and evaluation.gate needs answers",
            param=spec_paths.TRAINING_MAX_LENGTH,
            hint="raise training.maxLength, shorten the prompts, or remove minExactMatch and minJsonFields",
        )
    if spec.evaluation.gate.min_json_fields is None:
        return
    others = sum(json_object(row.reference.strip()) is None for row in chosen)
    if others:
        raise bad_data(
            f"evaluation.gate.minJsonFields needs answers that are JSON objects, but in {others} of the {len(chosen)}"
            " test rows that are answered the right answer is none",
            param=spec_paths.EVALUATION_GATE_MIN_JSON_FIELDS,
            hint="make each answer of the test rows a JSON object, or use minExactMatch or maxLossRatio instead",
        )


def _test_rows(path: Path) -> Iterator[HeldOutRow]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["prompt_ids", "reference"]):
            yield from map(HeldOutRow, batch["prompt_ids"].to_pylist(), batch["reference"].to_pylist())
