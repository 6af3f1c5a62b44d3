"""What the operator asks of the API server, from the server's own audit log."""

from __future__ import annotations

import json

from lora_cluster.control_plane import ControlPlane
from support.operator import USER, StartOperator
from support.runs import Runs


def test_the_operator_never_asks_for_a_secret_and_is_never_refused(
    control_plane: ControlPlane, runs: Runs, start_operator: StartOperator
) -> None:
    start_operator()
    runs.apply("triage", storage__secretName="s3-credentials", model__tokenSecretName="hf-token")
    runs.completes("triage")

    asked = [json.loads(line) for line in control_plane.audit_log.read_text().splitlines()]
    mine = [entry for entry in asked if entry["user"]["username"] == USER]
    assert mine, "the log holds what it did"
    resources = {(entry.get("objectRef") or {}).get("resource") for entry in mine}
    assert "secrets" not in resources
    assert not any(entry["responseStatus"]["code"] == 403 for entry in mine)
    assert not any(entry["verb"] in ("update", "patch") and resource(entry) == "pods" for entry in mine)


def resource(entry: dict[str, dict[str, str]]) -> str | None:
    return (entry.get("objectRef") or {}).get("resource")
