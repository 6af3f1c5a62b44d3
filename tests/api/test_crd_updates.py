"""What may change on a stored object: everything but the recipe, unless the user said Rerun."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from lora_contract.finetune import IMMUTABLE_PARTS
from support.api_server import FineTunes
from support.specs import BASE, REMOVED, changed

RECIPE_CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model.id": "microsoft/phi-4"},
    "from": {"from": {"run": "triage-base"}},
    "dataset": {"dataset.systemPrompt": "Answer in JSON."},
    "method": {"method": {"dpo": {}}},
    "chat": {"chat.templateArgs": {"enable_thinking": "false"}},
    "quantization": {"quantization.type": "none"},
    "lora": {"lora.r": 32},
    "training": {"training.maxSteps": 200},
    "evaluation": {"evaluation.samples": 1},
    "output": {"output.uri": "s3://adapters/team-b/"},
}
OTHER_CHANGES: dict[str, dict[str, Any]] = {
    "suspend": {"suspend": True},
    "run token": {"runToken": "2"},
    "retries": {"retries": 0},
    "time to live": {"ttlSecondsAfterFinished": 60},
    "queue": {"scheduling.queueName": "team-b"},
    "credentials": {"storage.secretName": "new-credentials"},
    "memory": {"compute.memory": "64Gi"},
    "a default written out": {"lora.r": 16},
}


def test_every_immutable_part_is_tried() -> None:
    assert set(RECIPE_CHANGES) == set(IMMUTABLE_PARTS)


@pytest.mark.parametrize("part", RECIPE_CHANGES)
def test_the_recipe_is_immutable(finetunes: FineTunes, part: str) -> None:
    finetunes.create("triage", BASE)
    with pytest.raises(client.ApiException) as caught:
        finetunes.replace("triage", changed(RECIPE_CHANGES[part]))
    message = json.loads(caught.value.body)["message"]
    assert f"spec.{part} is immutable; create a new LoRAFineTune, or set updatePolicy: Rerun" in message


@pytest.mark.parametrize("part", RECIPE_CHANGES)
def test_the_recipe_may_change_under_rerun(finetunes: FineTunes, part: str) -> None:
    finetunes.create("triage", changed({"updatePolicy": "Rerun"}))
    changes = {"updatePolicy": "Rerun"} | RECIPE_CHANGES[part]
    assert finetunes.replace("triage", changed(changes))["metadata"]["generation"] == 2


@pytest.mark.parametrize("change", OTHER_CHANGES)
def test_everything_else_may_change(finetunes: FineTunes, change: str) -> None:
    finetunes.create("triage", BASE)
    finetunes.replace("triage", changed(OTHER_CHANGES[change]))


def test_taking_a_part_of_the_recipe_away_is_a_change(finetunes: FineTunes) -> None:
    finetunes.create("triage", changed({"training.earlyStopping": {}}))
    with pytest.raises(client.ApiException, match=r"spec\.training is immutable"):
        finetunes.replace("triage", BASE)


def test_a_bad_edit_leaves_the_good_spec(finetunes: FineTunes) -> None:
    stored = finetunes.create("triage", BASE)["spec"]
    with pytest.raises(client.ApiException):
        finetunes.replace("triage", changed({"output": REMOVED}))
    assert finetunes.get("triage")["spec"] == stored
