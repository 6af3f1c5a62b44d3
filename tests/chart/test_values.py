"""Values: every one is described, checked, and refused where it is misspelt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.chart import CHART, NAMESPACE, PROFILES, helm, refusal

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def leaves(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every value with its path and schema; maps whose keys the user chooses count as one."""
    for key, value in values.items():
        below = schema.get("properties", {}).get(key)
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and below and below.get("properties"):
            yield from leaves(value, below, here)
        else:
            yield here, value, below


LEAVES = list(leaves(VALUES, SCHEMA))


@pytest.mark.parametrize("path", [path for path, _, _ in LEAVES])
def test_every_value_is_in_the_schema_with_words(path: str) -> None:
    (schema,) = [schema for where, _, schema in LEAVES if where == path]
    assert schema, f"{path} is not in values.schema.json"
    assert len(schema["description"]) >= 5


def test_the_schema_knows_no_value_that_the_chart_does_not() -> None:
    def paths(schema: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, below in schema.get("properties", {}).items():
            here = f"{path}.{key}".lstrip(".")
            yield from paths(below, here) if below.get("properties") else iter([here])

    unused = {"global", "resources.claims"} | {f"progress.tls.issuerRef.{key}" for key in ("name", "kind", "group")}
    assert set(paths(SCHEMA)) - unused <= {path for path, _, _ in LEAVES} | {"progress.tls.issuerRef"}


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--set=replica=2", "'replica' not allowed"),
        ("--set=image.registry=x", "'registry' not allowed"),
        ("--set=progress.tls.mode=helm", "'mode' not allowed"),
        ("--set=progress.tls.source=vault", "must be one of 'helm', 'certManager', 'secret'"),
        ("--set=metrics.serviceMonitor.on=true", "'on' not allowed"),
        ("--set=replicas=two", "got string, want integer"),
        ("--set=storage.allowedEndpoints={s3.example.org}", "does not match pattern"),
        ("--set=watchNamespaces={Team_A}", "does not match pattern"),
        ("--set=trainer.prepare.memory=much", "does not match pattern"),
        ("--set=trainer.cpuLimit=much", "does not match pattern"),
        ("--set=trainer.prepare.cpuLimit=0", "exclusiveMinimum"),
        ("--set=trainer.scratch=much", "does not match pattern"),
        ("--set=trainer.podSpec.runtimeClass=nvidia", "'runtimeClass' not allowed"),
        ("--set=trainer.prepare.podSpec.priorityClassName=High", "does not match pattern"),
        ("--set=trainer.extraEnv[0].name=A", "missing property 'value'"),
        ("--set=trainer.caBundle.configMap=a,trainer.caBundle.secret=b", "caBundle.secret, not both"),
        ("--set=image.digest=latest", "does not match pattern"),
        ("--set=runAsUser=0", "minimum"),
        ("--set=replicas=2", "replicas above 1 need leaderElection.enabled: true"),
        ("--set=progress.tls.source=secret", "progress.tls.secretName is needed"),
        ("--set=serviceAccount.create=false", "serviceAccount.name is needed"),
        ("--set=metrics.serviceMonitor.enabled=true", "need networkPolicy.metricsFrom: say which pods"),
        ("--set=networkPolicy.runs.metadataAddresses={169.254.169.254}", "does not match pattern"),
        ("--set=networkPolicy.runs.egress[0].from[0].ipBlock.cidr=10.0.0.0/8", "'from' not allowed"),
        ("--set=networkPolicy.runs.egress[0].to[0].podSelector.matchlabels.app=s3", "'matchlabels' not allowed"),
        ("--set=networkPolicy.runs.egress[0].to[0].ipBlock.cidr=storage", "does not match pattern"),
        ("--set-string=networkPolicy.runs.egress[0].ports[0].port=443", "does not match pattern"),
        ("--set=networkPolicy.runs.egress[0].ports[0].port=70000", "maximum"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(argument: str, says: str) -> None:
    assert says in refusal(argument)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_linter_of_helm_has_no_complaint(profile: str) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *PROFILES[profile]).stdout


def test_the_notes_name_the_next_three_commands() -> None:
    notes = helm("install", "lora", CHART, f"--namespace={NAMESPACE}", "--dry-run=client").stdout
    assert "rollout status deployment/lora-lora-operator" in notes
    assert "kubectl explain lorafinetune.spec" in notes
    assert "kubectl get lft --watch" in notes
