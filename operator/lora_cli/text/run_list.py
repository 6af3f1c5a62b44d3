"""Many runs: a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from rich.text import Text

from lora_cli.run import Run
from lora_cli.text.figures import age, duration, figure, number_of
from lora_cli.text.lines import Cell, state, table
from lora_contract.conditions import ConditionType

_HEADS = ("NAMESPACE", "NAME", "PHASE", "PROGRESS", "LOSS", "LEFT", "CREATED")
_WIDE = ("MODEL", "REASON", "NODE", "ADAPTER")
#: Of the heads, those over numbers.
_RIGHT = frozenset({4})


class SortKey(StrEnum):
    """What a list of runs can be sorted by."""

    NAME = "name"
    AGE = "age"
    PHASE = "phase"
    LOSS = "loss"
    GPU_TIME = "gpu-time"


def run_list(
    runs: Iterable[Run], now: datetime, *, wide: bool = False, namespaces: bool = False, head: bool = True
) -> list[Text]:
    """Lay runs out in a table. `namespaces`: with the column of namespaces."""
    rows = [_row(run, now, wide=wide, namespaces=namespaces) for run in runs]
    return table(_HEADS + (_WIDE if wide else ()), rows, right=_RIGHT, head=head)


def sorted_runs(runs: Iterable[Run], key: SortKey) -> list[Run]:
    """Sort runs: by age the youngest first, by loss the lowest, by GPU time the largest; what has none comes last."""
    by_name = sorted(runs, key=lambda run: (run.namespace, run.name))
    return sorted(by_name, key=_KEYS[key])


def _row(run: Run, now: datetime, *, wide: bool, namespaces: bool) -> Sequence[Cell]:
    status = run.status
    progress = status.progress
    left = "" if progress is None or progress.eta_seconds is None or status.finished else progress.eta_seconds
    cells: list[Cell] = [
        run.namespace if namespaces else "",
        run.name,
        state(run.phase),
        "" if progress is None else f"{progress.step}/{progress.total_steps} ({progress.percent} %)",
        figure(_loss(run)),
        left if isinstance(left, str) else duration(left),
        age(run.created, now),
    ]
    if wide:
        ready = status.condition(ConditionType.READY)
        node = next((each.node for each in reversed(status.attempts) if each.node), None)
        adapter = "" if status.artifact is None else status.artifact.uri
        cells += [run.model, "" if ready is None else ready.reason, node or "", adapter]
    return cells


def _loss(run: Run) -> str | None:
    """Choose the loss that says most by now: on the test rows, else of evaluation, else of training."""
    metrics = run.status.metrics
    return None if metrics is None else metrics.test_loss or metrics.eval_loss or metrics.train_loss


def _by_loss(run: Run) -> float:
    loss = number_of(_loss(run) or "")
    return float("inf") if loss is None else loss


def _gpu_seconds(run: Run) -> int:
    return 0 if run.status.usage is None else run.status.usage.gpu_seconds


_KEYS: dict[SortKey, Callable[[Run], float | str]] = {
    SortKey.NAME: lambda _: 0,
    SortKey.AGE: lambda run: 0.0 if run.created is None else -run.created.timestamp(),
    SortKey.PHASE: lambda run: run.phase,
    SortKey.LOSS: _by_loss,
    SortKey.GPU_TIME: lambda run: -_gpu_seconds(run),
}
