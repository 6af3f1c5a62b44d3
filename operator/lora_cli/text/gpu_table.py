"""GPUs by namespace: held now, and how much of their time was idle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from rich.text import Text

from lora_cli.run import Run
from lora_cli.text.figures import duration, money, share
from lora_cli.text.lines import table
from lora_contract.counts import count
from lora_contract.status import Phase

_HEADS = ("NAMESPACE", "RUNS", "ACTIVE", "QUEUED", "GPUS HELD", "GPU TIME", "IDLE", "IDLE SHARE", "COST")
_RIGHT = frozenset(range(1, len(_HEADS)))
_ACTIVE = (Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING)


@dataclass(frozen=True)
class _Sum:
    """What the runs of a namespace come to."""

    name: str
    runs: tuple[Run, ...]

    @property
    def held(self) -> int:
        return sum(run.gpus for run in self.runs if run.holds_gpus)

    @property
    def used(self) -> int:
        return sum(usage.gpu_seconds for run in self.runs if (usage := run.status.usage) is not None)

    @property
    def idle(self) -> int:
        return sum(usage.gpu_idle_seconds for run in self.runs if (usage := run.status.usage) is not None)

    def in_phase(self, *phases: Phase) -> int:
        return sum(run.status.phase in phases for run in self.runs)

    def cost(self) -> str:
        """Write the cost in each currency."""
        sums: dict[str, Decimal] = {}
        for run in self.runs:
            usage = run.status.usage
            if usage is not None and usage.cost is not None:
                sums[usage.currency or ""] = sums.get(usage.currency or "", Decimal(0)) + _amount(usage.cost)
        return ", ".join(money(str(amount), currency) for currency, amount in sorted(sums.items()))


def gpu_table(runs: Iterable[Run]) -> list[Text]:
    """Add up the runs of each namespace, and of all; those that hold most GPUs come first."""
    by_namespace: dict[str, list[Run]] = {}
    for run in runs:
        by_namespace.setdefault(run.namespace, []).append(run)
    sums = [_Sum(name, tuple(items)) for name, items in by_namespace.items()]
    sums.sort(key=lambda each: (-each.held, -each.used, each.name))
    if len(sums) > 1:
        sums.append(_Sum("all", tuple(run for each in sums for run in each.runs)))
    return table(_HEADS, [_row(each) for each in sums], right=_RIGHT)


def _row(each: _Sum) -> tuple[str, ...]:
    return (
        each.name,
        count(len(each.runs)),
        count(each.in_phase(*_ACTIVE)),
        count(each.in_phase(Phase.QUEUED)),
        count(each.held),
        duration(each.used),
        duration(each.idle),
        share(each.idle / each.used) if each.used else "",
        each.cost(),
    )


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() else Decimal(0)
