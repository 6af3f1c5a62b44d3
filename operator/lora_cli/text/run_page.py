"""One run on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from lora_cli.event import Event
from lora_cli.run import Run
from lora_cli.text.figures import age, bar, duration, figure, money, share, size
from lora_cli.text.lines import Cell, facts, state, table
from lora_contract.conditions import Condition
from lora_contract.counts import count, counted
from lora_contract.names import GPU_RESOURCE
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus, MetricsStatus
from lora_contract.times import parse_time

#: Events that are shown.
_MOST_EVENTS = 6


def run_page(run: Run, events: Sequence[Event], now: datetime) -> list[Text]:
    """Show everything about a run: where it is, how good it is, what happened. Empty parts are left out."""
    status = run.status
    parts = [facts([*_heading(run), *_facts(run, now)])]
    parts.append([Text(f"Warning: {warning}", style="yellow") for warning in status.warnings])
    parts.append(_conditions(status.conditions, now))
    parts.append(attempts(status.attempts, now))
    parts.append(event_list(events[-_MOST_EVENTS:], now))
    lines: list[Text] = []
    for part in parts:
        lines += ([Text()] if lines and part else []) + part
    return lines


def live_page(run: Run, events: Sequence[Event], now: datetime) -> list[Text]:
    """Show what changes while a run is on its way."""
    lines = facts([*_heading(run), *_on_the_way(run, now)])
    told = event_list(events[-_MOST_EVENTS:], now)
    return lines + ([Text(), *told] if told else [])


def progress_line(run: Run) -> str:
    """Say in one line where a run is; the next one differs only where something happened."""
    status = run.status
    parts = [run.phase]
    if status.progress is not None and not status.finished:
        progress = status.progress
        parts.append(f"step {progress.step} of {progress.total_steps} ({progress.percent} %)")
        if status.metrics is not None and status.metrics.train_loss:
            parts.append(f"loss {figure(status.metrics.train_loss)}")
        if progress.eta_seconds is not None:
            parts.append(f"about {duration(progress.eta_seconds)} left")
    elif waiting := _queue(status, None):
        parts.append(f"queue {waiting}")
    return ", ".join(parts)


def attempts(items: Sequence[AttemptStatus], now: datetime) -> list[Text]:
    """List the pods of a run, oldest first."""
    heads = ("POD", "STAGE", "NODE", "STARTED", "RAN", "EXIT", "STEPS", "REASON")
    return table(heads, [_attempt(item, now) for item in items]) if items else []


def event_list(events: Sequence[Event], now: datetime) -> list[Text]:
    """List Events, oldest first."""
    rows = [(age(event.time, now), state(event.type), event.reason, event.message) for event in events]
    return table(("EVENT", "TYPE", "REASON", "MESSAGE"), rows) if rows else []


def _heading(run: Run) -> Iterator[tuple[str, Cell]]:
    yield "Run", f"{run.namespace}/{run.name}"
    yield "Phase", state(run.phase)


def _on_the_way(run: Run, now: datetime) -> Iterator[tuple[str, Cell]]:
    status = run.status
    yield "Progress", _progress(status)
    yield "Loss", _losses(status.metrics)
    yield "GPU", _gpu(run)
    yield "Queue", _queue(status, now)
    yield "Time", _time(status)
    if status.error is not None:
        yield "Error", Text(f"{status.error.code}: {status.error.message}", style="red")
        yield "Do", status.error.hint or ""


def _facts(run: Run, now: datetime) -> Iterator[tuple[str, Cell]]:
    status = run.status
    yield "Model", run.model
    yield "Parent", _parent(status)
    yield from _on_the_way(run, now)
    yield "Test rows", _test(status.metrics)
    yield "Data", _data(status)
    yield "Estimate", _estimate(status)
    if status.usage is not None:
        yield "Cost", money(status.usage.cost, status.usage.currency)
    if status.artifact is not None:
        yield "Adapter", f"{status.artifact.uri} ({size(status.artifact.size_bytes)})"
        yield "Report", status.artifact.report_uri or ""
        for each in status.artifact.serving or ():
            yield each.server, f"{each.loads.lower()}: {each.advice}" if each.advice else each.loads.lower()
    yield "Identity", status.run_id or ""


def _progress(status: LoRAFineTuneStatus) -> str:
    progress = status.progress
    if progress is None:
        return ""
    parts = [f"{bar(progress.percent)} step {progress.step} of {progress.total_steps} ({progress.percent} %)"]
    if progress.eta_seconds is not None and not status.finished:
        parts.append(f"about {duration(progress.eta_seconds)} left")
    if progress.tokens_per_second:
        parts.append(f"{count(progress.tokens_per_second)} tokens/s")
    return ", ".join(parts)


def _losses(metrics: MetricsStatus | None) -> str:
    if metrics is None:
        return ""
    parts = []
    if metrics.train_loss is not None:
        parts.append(f"{figure(metrics.train_loss)} in training")
    if metrics.eval_loss is not None:
        best = metrics.best_eval_loss
        at = f" at step {metrics.best_step}" if metrics.best_step is not None else ""
        parts.append(f"{figure(metrics.eval_loss)} in evaluation" + (f" (best {figure(best)}{at})" if best else ""))
    return ", ".join(parts)


def _test(metrics: MetricsStatus | None) -> str:
    if metrics is None:
        return ""
    parts = []
    for name, base, adapter in (
        ("loss", metrics.base_test_loss, metrics.test_loss),
        ("general text", metrics.base_general_loss, metrics.general_loss),
    ):
        if adapter is not None:
            parts.append(f"{name} {figure(base)} -> {figure(adapter)}" if base else f"{name} {figure(adapter)}")
    if metrics.parent_test_loss is not None:
        parts.append(f"loss of its parent {figure(metrics.parent_test_loss)}")
    if metrics.preferences is not None and metrics.preferences.accuracy is not None:
        base = metrics.base_preferences.accuracy if metrics.base_preferences is not None else None
        before = f"{share(base)} -> " if base is not None else ""
        parts.append(f"preferences {before}{share(metrics.preferences.accuracy)}")
    if metrics.json_fields is not None:
        before = f"{share(metrics.base_json_fields)} -> " if metrics.base_json_fields is not None else ""
        parts.append(f"right fields {before}{share(metrics.json_fields)}")
    if metrics.exact_match is not None:
        parts.append(f"exact answers {share(metrics.exact_match)}")
    return ", ".join(parts)


def _gpu(run: Run) -> str:
    resource = run.part("compute").get("resourceName", GPU_RESOURCE)
    if not run.gpus:
        return "none, on the CPU"
    nodes = sorted({each.node for each in run.status.attempts if each.node and not each.end_time})
    usage = run.status.usage
    parts = [f"{run.gpus} x {resource}" + (f" on {', '.join(nodes)}" if nodes and run.holds_gpus else "")]
    if usage is not None and usage.gpu_seconds:
        idle = f"{duration(usage.gpu_idle_seconds)} idle ({share(usage.gpu_idle_seconds / usage.gpu_seconds)})"
        parts.append(f"{duration(usage.gpu_seconds)} used" + (f", of these {idle}" if usage.gpu_idle_seconds else ""))
    return "; ".join(parts)


def _parent(status: LoRAFineTuneStatus) -> str:
    parent = status.parent
    return "" if parent is None else f"{parent.run}, {parent.uri}" if parent.run else parent.uri


def _queue(status: LoRAFineTuneStatus, now: datetime | None) -> str:
    queue = status.queue
    if queue is None:
        return ""
    place = "" if queue.position is None else f", place {queue.position}"
    since = parse_time(queue.since)
    waits = f", since {age(since, now)}" if now is not None and since is not None else ""
    reason = f": {queue.reason}" if queue.reason else ""
    return f"{queue.local_queue}{place}{waits}{reason}"


def _time(status: LoRAFineTuneStatus) -> str:
    usage = status.usage
    if usage is None:
        return ""
    named = (
        (usage.staging_seconds, "preparing"),
        (usage.queue_seconds, "waiting"),
        (usage.suspended_seconds, "suspended"),
        (usage.train_seconds, "training"),
    )
    parts = [f"{duration(seconds)} {what}" for seconds, what in named if seconds]
    if usage.lost_steps:
        parts.append(f"{counted(usage.lost_steps, 'step')} done again")
    return ", ".join(parts)


def _data(status: LoRAFineTuneStatus) -> str:
    plan = status.plan
    if plan is None:
        return ""
    parts = [counted(plan.rows, "row"), counted(plan.tokens, "token"), counted(plan.total_steps, "step")]
    if plan.bad_rows:
        parts.append(f"{counted(plan.bad_rows, 'bad row')} left out")
    if plan.duplicate_rows:
        parts.append(f"{counted(plan.duplicate_rows, 'repeated row')} left out")
    if plan.truncated_rows:
        parts.append(f"{counted(plan.truncated_rows, 'row')} cut")
    if plan.preferences is not None:
        chosen, rejected = plan.preferences.chosen_tokens, plan.preferences.rejected_tokens
        parts.append(f"chosen answers of {chosen} tokens on average, rejected ones of {rejected}")
    return ", ".join(parts)


def _estimate(status: LoRAFineTuneStatus) -> str:
    """Say what the train pod was expected to take, and once the run has ended what it took."""
    estimate = status.plan.estimate if status.plan is not None else None
    if estimate is None:
        return ""
    limits = f"{duration(estimate.low)} to {duration(estimate.high)}"
    parts = [f"{duration(estimate.seconds)} of training ({limits}) by {counted(estimate.runs, 'earlier run')}"]
    parts.append(money(estimate.cost, estimate.currency))
    if status.finished and status.usage is not None:
        parts.append(f"it took {duration(status.usage.train_seconds)}")
    return ", ".join(part for part in parts if part)


def _conditions(conditions: Sequence[Condition], now: datetime) -> list[Text]:
    rows = [
        (each.type, state(each.status), each.reason, age(parse_time(each.last_transition_time), now), each.message)
        for each in conditions
    ]
    return table(("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"), rows) if rows else []


def _attempt(item: AttemptStatus, now: datetime) -> Sequence[Cell]:
    start, end = parse_time(item.start_time), parse_time(item.end_time)
    ran = duration(((end or now) - start).total_seconds()) if start is not None else ""
    steps = "" if item.last_step is None else f"{item.from_step or 0}-{item.last_step}"
    return (
        item.pod or item.job or "",
        item.stage,
        item.node or "",
        age(start, now),
        ran + (" so far" if start is not None and end is None else ""),
        "" if item.exit_code is None else str(item.exit_code),
        steps,
        item.reason or ("" if end else "runs"),
    )
