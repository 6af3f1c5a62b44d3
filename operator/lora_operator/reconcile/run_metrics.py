"""What runs did, counted from one status to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason, facts_of
from lora_contract.status import LoRAFineTuneStatus, Phase
from lora_contract.times import parse_time
from lora_operator.effects import metrics
from lora_operator.effects.memory.cache import Cache

_OTHER = "Other"
_REASONS = {str(reason) for reason in Reason}
_ACCOUNTS = ("staging", "queue", "suspended", "train", "gpu", "gpu_idle")


def begin_series() -> None:
    """Let the counters of reasons begin at 0: PromQL's `increase` does not see the first value of a new series."""
    for reason in (*_REASONS, _OTHER):
        metrics.ATTEMPTS.labels(reason=reason)
        metrics.RUNS_FINISHED.labels(result="failed", reason=reason)
    for reason in (Reason.ADAPTER_PUBLISHED, Reason.ADOPTED_EXISTING_ARTIFACT):
        metrics.RUNS_FINISHED.labels(result="complete", reason=reason)


def count_changes(old: LoRAFineTuneStatus, new: LoRAFineTuneStatus, *, namespace: str, currency: str) -> None:
    """Count what a written status says that the one before did not; `currency`: that of the platform, if it has one."""
    # What is counted at the end of the namespace's first run begins at 0 well before, as in `begin_series`.
    for account in _ACCOUNTS:
        metrics.USAGE_SECONDS.labels(namespace=namespace, account=account)
    if currency:
        metrics.COST.labels(namespace=namespace, currency=currency)
    ended_before = {attempt.pod for attempt in old.attempts if attempt.reason}
    for attempt in new.attempts:
        if attempt.reason and attempt.pod not in ended_before:
            metrics.ATTEMPTS.labels(reason=_bounded(attempt.reason)).inc()
    if new.finished and not old.finished:
        _count_end(new, namespace)


def _count_end(status: LoRAFineTuneStatus, namespace: str) -> None:
    result = "complete" if status.holds(ConditionType.COMPLETE) else "failed"
    finished = status.condition(ConditionType.FINISHED)
    reason = finished.reason if finished is not None else ""
    if status.error is not None:
        reason = status.error.code
    metrics.RUNS_FINISHED.labels(result=result, reason=_bounded(reason)).inc()
    start, end = parse_time(status.start_time), parse_time(status.completion_time)
    if start is not None and end is not None:
        metrics.RUN_SECONDS.labels(result=result).observe(max(0.0, (end - start).total_seconds()))
    if status.usage is not None:
        for account in _ACCOUNTS:
            seconds = getattr(status.usage, f"{account}_seconds")
            metrics.USAGE_SECONDS.labels(namespace=namespace, account=account).inc(seconds)
        if status.usage.cost and status.usage.currency:
            metrics.COST.labels(namespace=namespace, currency=status.usage.currency).inc(float(status.usage.cost))
        metrics.QUEUE_SECONDS.observe(status.usage.queue_seconds)
        metrics.GPU_SECONDS.labels(result=result).inc(status.usage.gpu_seconds)
        metrics.GPU_IDLE_SECONDS.inc(status.usage.gpu_idle_seconds)
        metrics.LOST_STEPS.inc(status.usage.lost_steps)


def _bounded(reason: str) -> str:
    return reason if reason in _REASONS else _OTHER


class RunGauges(Collector):
    """The gauges of the runs that exist, computed when asked."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count the runs in each phase, and those that wait by what for."""
        phases = dict.fromkeys(map(str, Phase), 0)
        waits: Counter[str] = Counter()
        for entry in self._cache.finetunes.entries():
            status = entry.value.status
            phases[str(status.phase or Phase.PENDING)] += 1
            ready = status.condition(ConditionType.READY)
            if ready is not None and status.holds(ConditionType.RECONCILING) and facts_of(ready.reason).warning:
                waits[_bounded(ready.reason)] += 1
        yield _gauge("lora_finetune_runs", "Runs that exist, by phase.", "phase", phases)
        text = "Runs that wait for what is missing or refused, or after an eviction, by reason."
        yield _gauge("lora_finetune_waiting_runs", text, "reason", waits)


def _gauge(name: str, text: str, label: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
