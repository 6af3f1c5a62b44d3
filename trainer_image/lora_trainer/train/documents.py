"""metrics.jsonl, report and model card of a finished run."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pydantic.alias_generators import to_pascal

from lora_contract.counts import counted
from lora_contract.identity import spec_hash
from lora_contract.layout import METRICS, MODEL_CARD, REPORT
from lora_contract.order import TrainOrder
from lora_contract.serving import ServingStatus
from lora_contract.status import MetricsStatus, ToolCallsStatus
from lora_contract.times import format_time
from lora_trainer.data.profile import DataProfile
from lora_trainer.digests import digests_below
from lora_trainer.evaluation.answers import AnswerScores
from lora_trainer.evaluation.tool_calls import right_share
from lora_trainer.ledger.attempts import RUNNING, AttemptRecord, trained_seconds
from lora_trainer.objective import Objective
from lora_trainer.objective.compared import ACCURACY
from lora_trainer.report import (
    Attempt,
    Bar,
    Comparison,
    DataSection,
    ReportInput,
    TextPart,
    render,
    render_model_card,
)
from lora_trainer.train import history, preference_status, source_figures
from lora_trainer.train.finish import Result
from lora_trainer.train.inputs import Inputs
from lora_trainer.train.session import Session

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "lora-operator")


@dataclass(frozen=True)
class Account:
    """Everything about a finished run, its adapter apart."""

    order: TrainOrder
    inputs: Inputs
    session: Session
    result: Result

    attempts: list[AttemptRecord]
    warnings: list[str]
    serving: list[ServingStatus]


def metrics_of(session: Session, result: Result) -> MetricsStatus:
    """Collect the figures of the status, as decimal strings."""
    log, best = history.by_step(session.trainer.state.log_history), session.best.state
    scores, base = result.scores, result.base_scores
    return MetricsStatus(
        train_loss=_text(history.last(log, "loss")),
        eval_loss=_text(history.last(log, "eval_loss")),
        best_eval_loss=_text(best.loss),
        best_step=best.step or None,
        best_eval_accuracy=_text(history.at(log, best.step, f"eval_{ACCURACY.key}")),
        base_test_loss=_text(None if result.base_test is None else result.base_test.loss),
        parent_test_loss=_text(None if result.parent_test is None else result.parent_test.loss),
        test_loss=_text(None if result.test is None else result.test.loss),
        base_general_loss=_text(None if result.forgetting is None else result.forgetting.base),
        general_loss=_text(None if result.forgetting is None else result.forgetting.adapter),
        exact_match=_text(None if scores is None else scores.exact_match),
        json_valid=_text(None if scores is None else scores.json_valid),
        json_fields=_text(None if scores is None else scores.json_fields),
        base_json_fields=_text(None if base is None else base.json_fields),
        tool_calls=None if scores is None else scores.tool_calls,
        base_tool_calls=None if base is None else base.tool_calls,
        preferences=preference_status.of_test_rows(result.test, scores),
        base_preferences=preference_status.of_test_rows(result.base_test, base),
        sources=source_figures.metrics(result.by_source) or None,
    )


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def all_warnings(profile: DataProfile | None, of_training: list[str]) -> list[str]:
    """Join what prepare said of model and data with what training adds; who reads the adapter sees no status."""
    return list(dict.fromkeys([*(profile.warnings if profile is not None else []), *of_training]))


def write(folder: Path, account: Account) -> None:
    """Write the three documents beside the adapter, which must be there: the report names the digests of its files."""
    session, result = account.session, account.result
    log = history.by_step(session.trainer.state.log_history)
    final = metrics_of(session, result).model_dump(by_alias=True)
    for name, found in (("test", result.test), ("baseTest", result.base_test), ("parentTest", result.parent_test)):
        figures = {} if found is None else found.figures
        final |= {f"{name}{to_pascal(key)}": _text(value) for key, value in figures.items()}
    history.write_metrics(folder / METRICS, log, final)
    contents = _contents(folder, account, log)
    (folder / REPORT).write_text(render(contents), encoding="utf-8")
    (folder / MODEL_CARD).write_text(render_model_card(contents), encoding="utf-8")


def _contents(folder: Path, account: Account, log: list[dict[str, Any]]) -> ReportInput:
    order, inputs, session, result = account.order, account.inputs, account.session, account.result
    plan = order.plan
    return ReportInput(
        name=order.name,
        run_id=order.run_id,
        spec_hash=spec_hash(order.spec),
        spec=order.spec,
        model_commit=inputs.model.commit,
        dataset_digest=plan.dataset_digest or "",
        template_date=plan.template_date,
        created_at=now(),
        rows={
            name: count
            for name, count in (("train", plan.rows), ("validation", plan.validation_rows), ("test", plan.test_rows))
            if count
        },
        tokens=plan.tokens,
        target_tokens=plan.target_tokens,
        longest_row=plan.longest_row,
        total_steps=plan.total_steps,
        duration_seconds=trained_seconds(account.attempts),
        tokens_per_second=session.progress.tokens_per_second,
        curves=history.curves(log, session.best.state.step or None),
        loss_unit=inputs.objective.loss_unit,
        comparisons=tuple(_comparisons(result, inputs.objective)),
        samples=result.samples,
        data=_data(inputs.profile),
        sources=source_figures.of_run(order, inputs, result.by_source),
        attempts=tuple(_attempt(record) for record in account.attempts),
        gate_failed=result.gate_failed,
        warnings=tuple(account.warnings),
        serving=tuple(account.serving),
        hardware=_hardware(session),
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES if _installed(name)},
        files={name: digest.sha256 for name, digest in digests_below(folder).items()},
        ancestors=tuple(inputs.parent.lineage) if inputs.parent is not None else (),
        target_modules=tuple(session.adapted.target_modules),
        trainable_parameters=session.adapted.trainable_parameters,
        peak_memory_bytes=peak_memory(session),
        stop_tokens=tuple(session.tokenizer.convert_ids_to_tokens(list(session.stops.trained))),
        unserved_stops={session.tokenizer.convert_ids_to_tokens(stop): stop for stop in session.stops.unserved},
        model_license=_license(inputs.model.path),
    )


def _comparisons(result: Result, objective: Objective) -> list[Comparison]:
    found: list[Comparison] = []
    if result.test is not None:
        base, test, parent = result.base_test, result.test, result.parent_test
        of_base, of_parent = (None if each is None else each.loss for each in (base, parent))
        found.append(Comparison("Test loss", of_base, test.loss, parent=of_parent))
        for figure in objective.figures:
            of_base, of_parent = (None if each is None else each.figures.get(figure.key) for each in (base, parent))
            of_adapter = test.figures.get(figure.key)
            if of_adapter is not None:
                found.append(Comparison(figure.name, of_base, of_adapter, figure.lower_is_better, of_parent))
    if (forgetting := result.forgetting) is not None:
        found.append(Comparison("Loss on general text", forgetting.base, forgetting.adapter))
    for name, attribute in (
        ("Exact match", "exact_match"),
        ("Valid JSON", "json_valid"),
        ("Right JSON fields", "json_fields"),
    ):
        adapter = _share(result.scores, attribute)
        if adapter is not None:
            found.append(Comparison(name, _share(result.base_scores, attribute), adapter, lower_is_better=False))
    return [*found, *_lengths(result), *_tool_calls(result)]


def _lengths(result: Result) -> list[Comparison]:
    """Give a line for the length of generated answers, where answers were preferred over others."""
    status, base = preference_status.of_test_rows(result.test, result.scores), result.base_scores
    if status is None or result.scores is None or result.scores.length_ratio is None:
        return []
    of_base = None if base is None else base.length_ratio
    return [Comparison("Length of answers by that of the chosen ones", of_base, result.scores.length_ratio, None)]


def _tool_calls(result: Result) -> list[Comparison]:
    """Give a line for the share of answers with right calls, and one for each count of calls."""
    adapter = None if result.scores is None else result.scores.tool_calls
    base = None if result.base_scores is None else result.base_scores.tool_calls
    if adapter is None:
        return []
    lines = [("Right tool calls, share of answers", "", False)]
    lines += [
        (f"Right names, of {counted(adapter.wanted, 'call')}", "right_names", False),
        (f"Right names and arguments, of {counted(adapter.wanted, 'call')}", "right_calls", False),
        ("Calls that were not made", "missing", True),
        ("Calls that were not wanted", "unwanted", True),
        ("Calls that cannot be parsed", "unreadable", True),
    ]
    return [
        Comparison(name, None if base is None else _count(base, field), _count(adapter, field), lower_is_better=lower)
        for name, field, lower in lines
    ]


def _count(counts: ToolCallsStatus, field: str) -> float | None:
    return float(getattr(counts, field)) if field else right_share(counts)


def _share(scores: AnswerScores | None, name: str) -> float | None:
    return None if scores is None else getattr(scores, name)


def _data(profile: DataProfile | None) -> DataSection:
    if profile is None:
        return DataSection()
    edges = [0, *profile.histogram_edges]
    bars = tuple(
        Bar(low, high, rows) for (low, high), rows in zip(pairwise(edges), profile.histogram_counts, strict=False)
    )
    example = tuple(TextPart(part.text, part.target, part.weight) for part in profile.first_example)
    files = ", ".join(file.name for file in profile.files)
    facts = {"Format": profile.format, "Files": files, "Rows read": f"{sum(profile.rows_read.values()):,}"}
    for label, rows in (
        ("Bad rows left out", profile.bad_rows),
        ("Empty documents left out", profile.empty_documents),
        ("Repeated rows left out", profile.duplicate_rows),
        ("Rows cut before their answer, left out", profile.rows_without_target),
    ):
        if rows:
            facts[label] = f"{rows:,}"
    facts["Longest row"] = counted(profile.longest_row, "token")
    return DataSection(bars, example, facts)


def _attempt(record: AttemptRecord) -> Attempt:
    outcome = "killed" if record.outcome == RUNNING else record.outcome
    return Attempt(record.claim, record.start_time, record.last_time, record.from_step, record.last_step, outcome)


def _hardware(session: Session) -> str:
    if session.hardware.is_cuda:
        return torch.cuda.get_device_name(session.hardware.device)
    return f"CPU, {torch.get_num_threads()} threads"


def peak_memory(session: Session) -> int | None:
    """Tell the most bytes that tensors took on the GPU; None on the CPU."""
    return int(torch.cuda.max_memory_allocated(session.hardware.device)) if session.hardware.is_cuda else None


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _license(model: Path) -> str | None:
    """Find the license in the front matter of the base model's README, where it came along."""
    try:
        text = (model / MODEL_CARD).read_text(encoding="utf-8", errors="replace")
        config = json.loads((model / "config.json").read_text())
    except (OSError, ValueError):
        return None
    for line in text.splitlines()[:80]:
        if line.startswith("license:"):
            return line.partition(":")[2].strip().strip("'\"") or None
    return config.get("license")


def now() -> str:
    """Tell the time as RFC 3339, UTC."""
    return format_time(datetime.now(UTC))
