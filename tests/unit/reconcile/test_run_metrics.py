"""The gauges of runs: how many are where, and what those wait for that somebody has to look after."""

from __future__ import annotations

from prometheus_client import REGISTRY

from lora_contract.status import LoRAFineTuneStatus
from lora_operator.effects.kinds import Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.run_metrics import RunGauges, begin_series, count_changes
from support.gitops_objects import run_cases


def gauges(*cases: str) -> dict[str, dict[str, float]]:
    """The samples of each gauge by label, where there are these runs."""
    cache = Cache()
    for number, case in enumerate(case for case in run_cases() if case.name in cases):
        body = case.make()
        body["metadata"] |= {"name": f"run-{number}", "uid": f"uid-{number}"}
        cache.put(Kind.FINETUNE, body)
    return {
        family.name: {next(iter(sample.labels.values())): sample.value for sample in family.samples}
        for family in RunGauges(cache).collect()
    }


def test_each_phase_is_counted_also_where_no_run_is_in_it() -> None:
    runs = gauges("training", "publishing", "complete", "adopted", "new")["lora_finetune_runs"]

    assert runs == {
        "Pending": 1, "Preparing": 0, "Queued": 0, "Running": 1, "Publishing": 1,
        "Suspended": 0, "Complete": 2, "Failed": 0,
    }  # fmt: skip


def test_runs_are_counted_by_what_they_wait_for_once_it_needs_somebody() -> None:
    waiting = gauges("waiting_for_secret", "pending_for_object_quota", "waiting_in_queue", "training", "refused")

    assert waiting["lora_finetune_waiting_runs"] == {"SecretMissing": 1, "QuotaExceeded": 1}


def test_counters_by_reason_begin_at_zero_so_that_the_first_failure_is_an_increase() -> None:
    begin_series()

    for labels in ({"result": "failed", "reason": "BadData"}, {"result": "complete", "reason": "AdapterPublished"}):
        assert REGISTRY.get_sample_value("lora_finetune_finished_total", labels) is not None
    assert REGISTRY.get_sample_value("lora_finetune_attempts_total", {"reason": "OOMKilled"}) is not None


def test_the_counters_of_a_namespace_begin_at_zero_with_its_first_run() -> None:
    status = LoRAFineTuneStatus()

    count_changes(status, status, namespace="team-new", currency="EUR")

    labels = {"namespace": "team-new"}
    assert REGISTRY.get_sample_value("lora_finetune_usage_seconds_total", labels | {"account": "gpu"}) == 0
    assert REGISTRY.get_sample_value("lora_finetune_cost_total", labels | {"currency": "EUR"}) == 0
