"""What a running operator serves at /metrics is what docs/metrics.md lists and the dashboard asks for."""

from __future__ import annotations

import subprocess

from prometheus_client.parser import text_string_to_metric_families

from lora_cluster import tools
from lora_contract import names
from lora_contract.exit_codes import ExitCode
from support.api_server import eventually
from support.metrics_page import known
from support.operator import StartOperator
from support.pods import failed
from support.runs import Runs


def test_a_scrape_has_every_metric_with_the_labels_that_are_documented(
    runs: Runs, start_operator: StartOperator, namespace: str
) -> None:
    # Two runs, one of which fails, where GPUs have a price
    running = start_operator(GPU_PRICE_PER_HOUR="2.5", GPU_PRICE_CURRENCY="EUR")
    runs.apply("good")
    runs.completes("good")
    runs.apply("bad")
    runs.pods.run("bad", names.STAGE_PREPARE, failed("prepare", "line 7: not JSON"), ExitCode.BAD_DATA)
    runs.in_phase("bad", "Failed")
    eventually("both are counted", lambda: running.metric("lora_finetune_duration_seconds_count") == 2)

    text = running.get("/metrics")[1]
    documented = {name: labels for metric in known() for name, labels in metric.series.items()}
    scraped: dict[str, set[frozenset[str]]] = {}
    values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("lora_") and not sample.name.endswith("_created"):
                scraped.setdefault(sample.name, set()).add(frozenset(sample.labels))
                values[sample.name, frozenset(sample.labels.items())] = sample.value

    # Without progress endpoint nobody reports; without a wait no run waits for anything
    silent = {"lora_operator_progress_reports_total", "lora_finetune_waiting_runs"}
    assert set(documented) - set(scraped) == silent
    assert {name: labels for name, labels in scraped.items() if labels != {documented[name]}} == {}
    finished = "lora_finetune_finished_total"
    assert values[finished, frozenset({("result", "failed"), ("reason", "BadData")})] == 1
    assert values["lora_finetune_runs", frozenset({("phase", "Complete")})] == 1
    assert ("lora_finetune_cost_total", frozenset({("namespace", namespace), ("currency", "EUR")})) in values

    # Prometheus' own linter has no complaint about names, types and help
    tools.build(("prometheus",))
    linted = subprocess.run(
        [tools.binary("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
