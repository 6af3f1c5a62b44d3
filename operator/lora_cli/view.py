"""What a person wants to see of a run."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lora_cli.cluster import FineTune
from lora_contract.conditions import ConditionType
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus

_COLOURS = {"True": "green", "False": "dim", "Unknown": "yellow"}


def summary(finetune: FineTune) -> RenderableType:
    """Everything about a run on one screen."""
    status = finetune.status
    facts = Table.grid(padding=(0, 2))
    for title, text in _facts(finetune):
        facts.add_row(f"[bold]{title}[/]", escape(text))
    conditions = Table("CONDITION", "STATUS", "REASON", "MESSAGE", box=None, padding=(0, 2, 0, 0))
    for condition in status.conditions:
        colour = _COLOURS[condition.status]
        conditions.add_row(
            condition.type, f"[{colour}]{condition.status}[/]", condition.reason, escape(condition.message)
        )
    parts: list[RenderableType] = [facts, "", conditions]
    if status.attempts:
        parts += ["", attempts(status.attempts)]
    return Group(*parts)


def failure(finetune: FineTune) -> RenderableType:
    """Why a run failed, what to do, and what its pods said."""
    status = finetune.status
    facts = Table.grid(padding=(0, 2))
    error = status.error
    if error is None:
        ready = status.condition(ConditionType.READY)
        facts.add_row("[bold]State[/]", f"{status.phase or 'Pending'}; it has not failed")
        if ready is not None:
            facts.add_row("[bold]Now[/]", escape(f"{ready.reason}: {ready.message}"))
    else:
        facts.add_row("[bold red]Failed[/]", error.code)
        facts.add_row("[bold]What[/]", escape(error.message))
        if error.param:
            facts.add_row("[bold]Where[/]", escape(error.param))
        if error.hint:
            facts.add_row("[bold green]Do[/]", escape(error.hint))
    return Group(facts, "", attempts(status.attempts)) if status.attempts else facts


def attempts(items: list[AttemptStatus]) -> Table:
    """The pods of a run."""
    table = Table("POD", "STAGE", "NODE", "START", "END", "EXIT", "STEPS", "REASON", box=None, padding=(0, 2, 0, 0))
    for item in items:
        steps = "" if item.last_step is None else f"{item.from_step or 0}-{item.last_step}"
        code = "" if item.exit_code is None else str(item.exit_code)
        reason = escape(item.reason or "")
        texts = (item.pod, item.stage, item.node, item.start_time, item.end_time, code, steps, reason)
        table.add_row(*(text or "" for text in texts))
    return table


def _facts(finetune: FineTune) -> Iterator[tuple[str, str]]:
    status = finetune.status
    yield "Run", f"{finetune.namespace}/{finetune.name}" + (f"  {status.run_id}" if status.run_id else "")
    yield "Phase", str(status.phase or "Pending")
    if status.progress is not None:
        eta = f", {status.progress.eta} left" if status.progress.eta else ""
        yield "Progress", (status.progress.summary or f"{status.progress.percent}%") + eta
    if losses := _losses(status):
        yield "Loss", losses
    if status.plan is not None:
        plan = status.plan
        yield "Data", f"{plan.rows} rows, {plan.tokens} tokens, {plan.total_steps} steps"
    if status.usage is not None:
        usage = status.usage
        yield "Time", f"{usage.queue_seconds} s in queue, {usage.gpu_seconds} GPU s, {usage.lost_steps} steps lost"
        if usage.cost is not None:
            yield "Cost", f"{usage.cost} {usage.currency or ''}".rstrip()
    if status.artifact is not None:
        yield "Adapter", status.artifact.uri
        if status.artifact.report_uri:
            yield "Report", status.artifact.report_uri
    if status.error is not None:
        yield "Error", f"{status.error.code}: {status.error.message}"
    for warning in status.warnings:
        yield "Warning", warning


def _losses(status: LoRAFineTuneStatus) -> str:
    metrics = status.metrics
    if metrics is None:
        return ""
    known = {
        "train": metrics.train_loss,
        "evaluation": metrics.eval_loss,
        "test": metrics.test_loss,
        "base model on test": metrics.base_test_loss,
        "general text": metrics.general_loss,
        "base model on general text": metrics.base_general_loss,
    }
    return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
