"""What was accepted goes on by the rules of its day; only what is new, or was edited, is judged by those of today."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_operator.core.run.decision import SuspendJob
from support.pod_reports import PREPARED, TRAINED
from support.run_story import Story, given_finetune, given_training
from support.specs import changed

#: Fields that break a rule of today. They stand for ones that were fine when the spec was accepted.
FORBIDDEN: list[dict[str, Any]] = [
    {"lora.r": 0},
    {"training.maxLength": 10**9},
    {"storage.secretName": "Not A Name"},
    {"output.uri": "adapters/team-a"},
    {"training.fieldOfThePast": 1},
]


def upgraded(story: Story, breaks: dict[str, Any]) -> Story:
    """The operator is upgraded: its rules forbid what the spec says, and nobody edits the spec."""
    story.body["spec"] = changed(breaks, story.body["spec"])
    return story.after(60)


@pytest.mark.parametrize("breaks", FORBIDDEN)
def test_a_run_that_trains_goes_on_though_a_new_rule_forbids_its_spec(breaks: dict[str, Any]) -> None:
    story = upgraded(given_training(), breaks).decides()
    assert story.condition("Accepted")[0] == "True"
    assert story.status.phase == "Running"

    story.stage_succeeds("train", TRAINED).decides()

    assert story.condition("Complete") == ("True", "AdapterPublished")


@pytest.mark.parametrize("breaks", FORBIDDEN)
def test_a_run_between_its_stages_gets_its_train_job(breaks: dict[str, Any]) -> None:
    story = upgraded(given_finetune().decides(), breaks).stage_succeeds("prepare", PREPARED).decides()

    assert story.stages == ["prepare", "train"]


def test_a_run_on_nodes_whose_pods_names_became_too_long_goes_on() -> None:
    story = given_training()
    story.body["metadata"]["name"] = "n" * 46
    story.body["spec"] = changed({"compute.nodes": 1}, story.body["spec"])

    assert story.decides().condition("Accepted")[0] == "True"


def test_an_endpoint_that_the_platform_takes_off_its_list_stays_that_of_the_run() -> None:
    story = given_training({"storage.endpoint": "https://s3.ok"}, allowed_s3_endpoints=("https://s3.ok",))
    story.settings = story.settings.model_copy(update={"allowed_s3_endpoints": ()})

    assert story.after(5).decides().status.phase == "Running"
    assert given_finetune({"storage.endpoint": "https://s3.ok"}).decides().condition("Accepted")[0] == "False"


def test_a_new_run_is_judged_by_the_rules_of_today() -> None:
    assert given_finetune({"lora.r": 0}).decides().condition("Accepted") == ("False", "SpecInvalid")


def test_an_edit_that_breaks_a_rule_pauses_the_run_until_it_is_corrected() -> None:
    # A run that trains, and an edit that the API server let pass
    story = given_training().after(10)
    name = story.job("train")["metadata"]["name"]
    # When the spec is refused, its pod saves a checkpoint and the GPU is free
    story.user_sets({"lora.r": 0}).decides()
    assert story.condition("Accepted") == ("False", "SpecInvalid")
    assert "paused" in story.message
    assert story.decisions[-1].follow_up == (SuspendJob(name, suspend=True),)
    story.after(20).pod_ends("train", 75).pod_is_gone("train").decides()
    # When it is corrected, the run goes on
    story.user_sets({"lora.r": 8}).decides()
    assert story.job("train")["spec"]["suspend"] is False
    assert [a.reason for a in story.status.attempts] == ["Suspended"]
    story.after(5).pod_runs("train", "second").decides()
    assert story.status.phase == "Running"


def test_an_order_for_an_accepted_spec_is_understood_by_a_newer_trainer() -> None:
    spec = LoRAFineTuneSpec.unchecked(changed({"lora.r": 0, "training.fieldOfThePast": 1}))
    order = Order(stage="train", namespace="team-a", name="triage", uid="1", spec=spec, scratch="/tmp/x")

    again = Order.model_validate_json(order.model_dump_json(by_alias=True, exclude_none=True))

    assert again.spec.lora.r == 0
    assert again.spec.training.learning_rate == LoRAFineTuneSpec.model_validate(changed({})).training.learning_rate


def test_a_spec_without_a_required_field_cannot_be_read_at_all() -> None:
    assert LoRAFineTuneSpec.unchecked({"model": {"id": "org/base"}}) is None
