"""Dashboard, alerts and pages speak of metrics that the operator has, and alerts fire when they should."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import metrics_page
from support.chart import CHART, PROFILES, documents, of_kind, only, template
from support.metrics_page import known
from support.promql import Asked, asked_by, promtool, without_variables

RUNBOOKS = CHART.parents[1] / "docs" / "runbooks.md"
RULE_TESTS = Path(__file__).with_name("alerts_test.yaml")
SERIES = {name: labels for metric in known() for name, labels in metric.series.items()}
#: Labels that Prometheus adds to what it scrapes.
OF_TARGETS = {"instance", "job", "pod"}


@functools.cache
def rendered() -> tuple[dict[str, Any], ...]:
    return tuple(documents(template(*PROFILES["monitored"])))


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only(list(rendered()), "PrometheusRule")["spec"]["groups"][0]["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(only(list(rendered()), "ConfigMap")["data"]["lora-operator.json"])
    return found


def queries() -> dict[str, str]:
    """Every query of the dashboard by panel and legend."""
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    }


def expect_known(where: str, asked: Asked) -> None:
    assert asked["selectors"], f"{where} asks for no metric"
    offered: set[str] = set()
    for selector in asked["selectors"]:
        assert selector["metric"] in SERIES, f"{where}: the operator has no metric {selector['metric']}"
        labels = SERIES[selector["metric"]]
        assert set(selector["labels"]) <= labels, f"{where}: {selector['metric']} has the labels {sorted(labels)}"
        offered |= labels
    assert set(asked["grouping"]) <= offered | OF_TARGETS, f"{where}: no metric in it has such a label"


def test_every_query_of_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    asked = asked_by([without_variables(expression) for expression in queries().values()])
    assert len(asked) > 30
    for where, answer in zip(queries(), asked, strict=True):
        expect_known(where, answer)


def test_the_dashboard_shows_every_metric() -> None:
    asked = asked_by([without_variables(expression) for expression in queries().values()])
    shown = {selector["metric"] for answer in asked for selector in answer["selectors"]}
    assert {metric.name for metric in known() if not shown & set(metric.series)} == set()


def test_the_dashboard_has_no_two_panels_in_one_place_and_says_what_each_shows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_alerts_that_a_panel_names_exist() -> None:
    alerts = {rule["alert"] for rule in rules()}
    named = {
        panel["description"].partition("Alert: ")[2].removesuffix(".")
        for panel in dashboard()["panels"]
        if "Alert: " in panel.get("description", "")
    }
    assert named
    assert named <= alerts


def test_the_sidecar_of_grafana_finds_the_dashboard() -> None:
    metadata = only(list(rendered()), "ConfigMap")["metadata"]
    assert metadata["labels"]["grafana_dashboard"] == "1"
    assert metadata["annotations"] == {"grafana_folder": "ML"}
    assert not of_kind(documents(template()), "ConfigMap"), "only where it is asked for"


def test_every_alert_asks_for_metrics_and_labels_that_exist() -> None:
    asked = asked_by([rule["expr"] for rule in rules()])
    for rule, answer in zip(rules(), asked, strict=True):
        expect_known(rule["alert"], answer)


def test_every_alert_says_what_to_do_and_links_to_its_runbook() -> None:
    headings = {line.removeprefix("## ") for line in RUNBOOKS.read_text("utf-8").splitlines() if line.startswith("## ")}
    assert headings == {rule["alert"] for rule in rules()}, "one section in docs/runbooks.md for each alert"
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(rule["annotations"]["description"]) > 60
        # the anchor that Markdown gives to the heading
        assert rule["annotations"]["runbook_url"] == f"https://example.org/alerts#{rule['alert'].lower()}"


def test_every_runbook_says_what_it_means_where_to_look_and_what_to_do() -> None:
    _, *sections = RUNBOOKS.read_text("utf-8").split("\n## ")
    for section in sections:
        assert [word for word in ("**What it means.**", "**Look.**", "**Do.**") if word not in section] == []


def test_the_rules_are_good_prometheus_rules_and_fire_when_they_should(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "lora-operator", "rules": rules()}]}))
    assert f"{len(rules())} rules found" in promtool("check", "rules", "--lint=all", tmp_path / "rules.yaml")

    tests = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))
    for test in tests["tests"]:
        for expected in test["alert_rule_test"]:
            (rule,) = [rule for rule in rules() if rule["alert"] == expected["alertname"]]
            for alert in expected.get("exp_alerts", []):
                # What is told is in the rule, with the label's value in it; a test would only repeat it.
                alert["exp_annotations"] = {
                    name: text.replace("{{ $labels.reason }}", alert["exp_labels"].get("reason", ""))
                    for name, text in rule["annotations"].items()
                }
                alert["exp_labels"]["severity"] = rule["labels"]["severity"]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests | {"rule_files": ["rules.yaml"]}))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "tests.yaml")


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_is_seen_to_fire_and_to_be_silent(fires: bool) -> None:
    seen = {
        expected["alertname"]
        for test in yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]
        for expected in test["alert_rule_test"]
        if bool(expected.get("exp_alerts")) is fires
    }
    assert seen == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_monitors_keep_the_namespace_that_runs_are_counted_by(kind: str) -> None:
    spec = only(list(rendered()), kind)["spec"]
    (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True


def test_the_page_of_metrics_is_current() -> None:
    assert metrics_page.PAGE.read_text(encoding="utf-8") == metrics_page.page(), "run `make docs-metrics`"


def test_every_metric_says_what_it_is_in_a_sentence() -> None:
    for metric in known():
        assert metric.meaning.endswith("."), metric.name
        assert len(metric.meaning.split()) >= 4, metric.name
