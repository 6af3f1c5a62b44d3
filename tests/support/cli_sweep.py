"""A sweep of six trials over two fields, near its end."""

from __future__ import annotations

from typing import Any

from lora_contract import names

_PREFIX = "s3://adapters/team-a"
#: Rank, learning rate, phase, evaluation loss, test loss.
_TRIALS = (
    ("8", "0.0001", "Complete", "0.0311", "0.0298"),
    ("8", "0.0002", "Complete", "0.0122", "0.0119"),
    ("8", "0.001", "Stopped", "0.4112", None),
    ("16", "0.0001", "Complete", "0.0214", "0.0205"),
    ("16", "0.0002", "Complete", "0.0068", "0.0059"),
    ("16", "0.001", "Running", "0.0931", None),
)


def artifact(name: str) -> dict[str, Any]:
    """What the status says of the adapter of a trial."""
    return {
        "uri": f"{_PREFIX}/{name}/2d5658b126f01b81e5403dd84286bc18",
        "manifestDigest": "ab" * 32,
        "sizeBytes": 24_536_112,
        "baseModel": "microsoft/Phi-4-mini-instruct",
        "requiredMaxLoraRank": 16,
    }


def sweep() -> dict[str, Any]:
    """A LoRASweep as the API server has it."""
    trials = [_trial(number) for number in range(len(_TRIALS))]
    best = trials[4]
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.SWEEP_KIND,
        "metadata": {"name": "rates", "namespace": "team-a", "uid": "uid-rates"},
        "spec": {"maxParallel": 2},
        "status": {
            "phase": "Running",
            "summary": "5/6",
            "active": 1,
            "trials": trials,
            "best": {
                "trial": best["name"],
                "parameters": best["parameters"],
                "bestEvalLoss": best["bestEvalLoss"],
                "testLoss": best["testLoss"],
                "artifact": artifact(best["name"]),
            },
        },
    }


def _trial(number: int) -> dict[str, Any]:
    rank, rate, phase, loss, test_loss = _TRIALS[number]
    far = 9 if phase == "Complete" else 4
    milestones = [
        {"percent": 10 * tenth, "bestEvalLoss": f"{float(loss) * (1 + 8 / tenth**2):.6g}"}
        for tenth in range(1, far + 1)
    ]
    row: dict[str, Any] = {
        "name": f"rates-{number:02d}",
        "parameters": {"lora.r": rank, "training.learningRate": rate},
        "phase": phase,
        "bestEvalLoss": loss,
        "milestones": milestones,
    }
    if test_loss is not None:
        row |= {"testLoss": test_loss, "artifactUri": artifact(row["name"])["uri"]}
    return row | ({"stoppedAtPercent": 40} if phase == "Stopped" else {})
