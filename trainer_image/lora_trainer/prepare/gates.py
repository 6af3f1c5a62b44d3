"""Whether what the spec wants to be measured can be measured on the rows that there are, before a GPU is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from lora_contract import spec_paths
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError, bad_data, unsupported
from lora_trainer.evaluation.answers import HeldOutRow, answered, json_object
from lora_trainer.prepare import data_warnings

_ROWS_AT_ONCE = 64
_COLUMNS = ("prompt_ids", "reference", "tool_calls")


def check(spec: LoRAFineTuneSpec, profile: DataProfile, folder: Path) -> None:
    """Hold early stopping and the gate against the prepared rows.

    `folder` holds the files of `data.prepared`.

    Raises:
        TrainerError: 65, there is nothing to measure them on.
    """
    dataset, gate, rows = spec.dataset, spec.evaluation.gate, profile.rows
    if spec.training.early_stopping is not None and not rows["validation"]:
        raise _no_rows(
            "validation", dataset.validation_uri is not None, "training.earlyStopping", "remove training.earlyStopping"
        )
    if gate.needs_test_rows and not rows["test"]:
        raise _no_rows("test", dataset.test_uri is not None, "evaluation.gate", "remove the limits of evaluation.gate")
    if gate.forgetting_source is not None:
        _check_forgetting_source(gate.forgetting_source, profile)
    if gate.needs_answers:
        _check_answers(spec, profile, folder / prepared.TEST)


def _check_forgetting_source(name: str, profile: DataProfile) -> None:
    """Refuse a source without test rows of its own, on which nothing could be measured."""
    if any(source.name == name and source.rows["test"] for source in profile.sources):
        return
    raise bad_data(
        f"source {name} has no test rows, and evaluation.gate.forgettingSource needs some",
        param=spec_paths.EVALUATION_GATE_FORGETTING_SOURCE,
        hint="raise dataset.split.test, or remove dataset.testUri, whose rows belong to no source; or remove"
        " forgettingSource",
    )


def _no_rows(split: str, own_address: bool, purpose: str, way_out: str) -> TrainerError:
    """Make the error for a split without rows that `purpose`, a field of the spec, needs."""
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


def _check_answers(spec: LoRAFineTuneSpec, profile: DataProfile, path: Path) -> None:
    """Look at the test rows whose answers the gate is about."""
    chosen = answered(_test_rows(path), spec.evaluation.samples, spec.training.max_length)
    if not chosen:
        raise bad_data(
            f"every prompt of a test row is longer than training.maxLength {spec.training.max_length}, so none is"
            " answered, and evaluation.gate needs answers",
            param=spec_paths.TRAINING_MAX_LENGTH,
            hint="raise training.maxLength, shorten the prompts, or remove minExactMatch, minJsonFields and"
            " minToolCalls",
        )
    if spec.evaluation.gate.min_json_fields is not None:
        _check_json(chosen)
    if spec.evaluation.gate.min_tool_calls is not None:
        _check_tools(spec, profile, chosen)


def _check_json(chosen: Sequence[HeldOutRow]) -> None:
    others = sum(json_object(row.reference.strip()) is None for row in chosen)
    if others:
        raise bad_data(
            "evaluation.gate.minJsonFields needs answers that are JSON objects; test rows that are answered and whose"
            f" right answer is none: {others} of {len(chosen)}",
            param=spec_paths.EVALUATION_GATE_MIN_JSON_FIELDS,
            hint="make each answer of the test rows a JSON object, or use minExactMatch or maxLossRatio instead",
        )


def _check_tools(spec: LoRAFineTuneSpec, profile: DataProfile, chosen: Sequence[HeldOutRow]) -> None:
    if not profile.test_rows_with_tools:
        raise bad_data(
            "evaluation.gate.minToolCalls needs test rows that offer tools, and none does",
            param=spec_paths.EVALUATION_GATE_MIN_TOOL_CALLS,
            hint="put rows with tools into the test split (dataset.columns.tools names their column), or remove"
            " minToolCalls",
        )
    if profile.tool_call_form is None:
        raise unsupported(
            f"evaluation.gate.minToolCalls needs calls to be read back from answers, but {data_warnings.UNREADABLE}",
            param=spec_paths.EVALUATION_GATE_MIN_TOOL_CALLS,
            hint="remove minToolCalls, or give a chat.template that writes calls in a usual form, such as"
            ' <tool_call>{"name": ..., "arguments": ...}</tool_call>',
        )
    if all(row.tool_calls is None for row in chosen):
        raise bad_data(
            "evaluation.gate.minToolCalls needs answers to rows that offer tools; test rows that are answered and offer"
            f" some: 0 of {len(chosen)}",
            param=spec_paths.EVALUATION_GATE_MIN_TOOL_CALLS,
            hint=f"raise evaluation.samples, now {spec.evaluation.samples}, put rows with tools first in a file of"
            " dataset.testUri, or remove minToolCalls",
        )


def _test_rows(path: Path) -> Iterator[HeldOutRow]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS)):
            yield from map(HeldOutRow, *(batch[name].to_pylist() for name in _COLUMNS))
