"""What the real API server accepts and refuses of a LoRASweep, and that pydantic says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from pydantic import ValidationError

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from lora_contract.sweep import LoRASweepSpec
from support.specs import REMOVED
from support.sweeps import Sweeps, sweep

GOOD: dict[str, dict[str, Any]] = {
    "grid": {},
    "list": {"grid": REMOVED, "trials": [{}, {"lora": {"r": 8}}, {"training": {"seed": 1}}]},
    "median stopping": {"medianStopping": {}},
    "one value": {"grid": {"training": {"learningRate": [0.0001]}}},
    "sets of modules": {"grid": {"lora": {"targetModules": [["all-linear"], ["q_proj", "v_proj"]]}}},
    "own validation rows": {
        "template.spec.dataset": {
            "uri": "s3://datasets/a",
            "validationUri": "s3://datasets/b",
            "split": {"validation": 0},
        }
    },
    "every field": {
        "grid": {
            "lora": {"r": [8], "alpha": [16], "dropout": [0], "useRslora": [True]},
            "training": {
                "effectiveBatchSize": [16],
                "learningRate": [0.001],
                "schedule": ["linear"],
                "warmupRatio": [0.1],
                "weightDecay": [0],
                "maxGradNorm": [0],
                "maxSteps": [50, 100],
                "seed": [1, 2],
            },
        }
    },
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "grid and list": ({"trials": [{}]}, "set exactly one of grid and trials"),
    "neither": ({"grid": REMOVED}, "set exactly one of grid and trials"),
    "no trials": ({"grid": REMOVED, "trials": []}, "at least 1 items"),
    "too many trials": ({"grid": REMOVED, "trials": [{}] * 101}, "must have at most 100 items"),
    "rank 0": ({"grid.lora.r": [0]}, "spec.grid.lora.r[0]"),
    "rank as text": ({"grid.lora.r": ["8"]}, "must be of type integer"),
    "rank 0 in a list": ({"grid": REMOVED, "trials": [{"lora": {"r": 0}}]}, "spec.trials[0].lora.r"),
    "a field that makes losses incomparable": (
        {"grid.training.trainOn": ["all"]},
        'unknown field "spec.grid.training.trainOn"',
    ),
    "no values": ({"grid.lora.r": []}, "at least 1 items"),
    "suspended template": ({"template.spec.suspend": True}, "set suspend of the sweep"),
    "nothing to compare on": ({"template.spec.dataset.split": {"validation": 0}}, "compared on held-out rows"),
    "bad template": ({"template.spec.training": {}}, "exactly one of training.maxSteps and training.epochs"),
    "nothing at once": ({"maxParallel": 0}, "spec.maxParallel"),
    "impatient": ({"medianStopping": {"startPercent": 0}}, "spec.medianStopping.startPercent"),
}  # fmt: skip


def refused(attempt: Any, *arguments: Any) -> str:
    with pytest.raises(client.ApiException) as caught:
        attempt(*arguments)
    assert caught.value.status in (400, 422)
    return str(json.loads(caught.value.body)["message"])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_sweep_is_stored_with_the_defaults_of_the_contract(sweeps: Sweeps, case: str) -> None:
    spec = sweep(GOOD[case])
    stored = sweeps.create("rates", spec)["spec"]
    assert stored == LoRASweepSpec.model_validate(spec).dump()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sweep_is_refused_with_words_that_help(sweeps: Sweeps, case: str) -> None:
    changes, says = BAD[case]
    assert says in refused(sweeps.create, "rates", sweep(changes))
    with pytest.raises(ValidationError):
        LoRASweepSpec.model_validate(sweep(changes))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("template", {"spec": sweep({"template.spec.lora": {"r": 4}})["template"]["spec"]}),
        ("grid", {"lora": {"r": [4]}}),
        ("trials", [{}]),
    ],
)
def test_what_makes_the_trials_is_immutable(sweeps: Sweeps, part: str, value: Any) -> None:
    sweeps.create("rates", sweep())
    change = {part: value, "grid": None} if part == "trials" else {part: value}
    assert f"spec.{part} is immutable; create a new LoRASweep" in refused(sweeps.patch, "rates", change)


def test_the_pace_may_change(sweeps: Sweeps) -> None:
    sweeps.create("rates", sweep())
    sweeps.patch("rates", {"maxParallel": 4, "suspend": True, "medianStopping": {"minTrials": 1}})


def test_a_name_leaves_room_for_the_numbers_of_trials(sweeps: Sweeps) -> None:
    sweeps.create("a" * names.MAX_SWEEP_NAME_LENGTH, sweep())
    message = refused(sweeps.create, "a" * (names.MAX_SWEEP_NAME_LENGTH + 1), sweep())
    assert "metadata.name must be at most 41 characters; names of trials are made of it" in message


def test_explain_tells_meaning_bounds_and_example(kubectl: Kubectl) -> None:
    text = " ".join(kubectl.run("explain", "lorasweep.spec.grid.training").split())
    assert "learningRate <[]number> Values to try. Peak learning rate. Example: [0.0002]." in text


def test_get_shows_the_sweep_on_one_line(sweeps: Sweeps, kubectl: Kubectl, namespace: str) -> None:
    assert sweeps.create("rates", sweep())["status"] == {"observedGeneration": -1}
    heading = kubectl.run("get", names.SWEEP_SHORT_NAME, f"--namespace={namespace}").splitlines()[0]
    assert heading.split() == ["NAME", "PHASE", "TRIALS", "ACTIVE", "BEST", "LOSS", "AGE"]
