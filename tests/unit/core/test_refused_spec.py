"""A spec that cannot be run says so everywhere, so who waits for the end hears of it; corrected, the run goes on."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract import names
from support.pod_reports import PREPARED, TRAINED
from support.run_story import given_finetune, given_training
from support.sweep_stories import given_sweep

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"lora.r": 0}, "SpecInvalid", "spec.lora.r"),
    ({"training.max_length": 512}, "SpecInvalid", "spec.training.max_length"),
    ({"storage.endpoint": "https://elsewhere.example"}, "EndpointNotAllowed", "spec.storage.endpoint"),
]


@pytest.mark.parametrize(("changes", "reason", "param"), REFUSED)
def test_phase_conditions_and_error_agree(changes: dict[str, Any], reason: str, param: str) -> None:
    status = given_finetune(changes).decides().status

    assert status.phase == "Failed"
    said = {str(c.type): (c.status, c.reason) for c in status.conditions}
    for kind in ("Finished", "Failed", "Stalled"):
        assert said[kind] == ("True", reason)
    for kind in ("Accepted", "Ready", "Complete"):
        assert said[kind] == ("False", reason)
    assert status.error is not None
    assert (status.error.code, status.error.param) == (reason, param)
    assert status.error.hint
    assert status.completion_time is not None


def test_each_edit_is_judged_and_says_of_which_generation_it_speaks() -> None:
    story = given_finetune({"lora.r": 0}).decides().user_sets({"lora.r": -1}).decides()

    assert story.status.observed_generation == 2
    assert {c.observed_generation for c in story.status.conditions} == {2}


def test_what_is_refused_is_written_once() -> None:
    story = given_finetune({"lora.r": 0}).decides()
    writes = story.writes

    assert story.after(600).decides().writes == writes


def test_a_corrected_spec_takes_all_of_it_back() -> None:
    story = given_finetune({"lora.r": 0}).decides().after(60).user_sets({"lora.r": 8}).decides()

    assert story.stages == ["prepare"]
    assert story.status.phase == "Preparing"
    assert story.status.error is None
    assert story.status.completion_time is None
    for kind in ("Finished", "Failed", "Stalled"):
        assert story.condition(kind)[0] == "False"


def test_a_run_that_an_edit_paused_goes_on_to_its_end() -> None:
    story = given_training().after(10).user_sets({"lora.r": 0}).decides()
    assert story.condition("Finished") == ("True", "SpecInvalid")
    story.after(20).pod_ends("train", 75).pod_is_gone("train").decides()

    story.user_sets({"lora.r": 8}).decides().after(5).pod_runs("train", "second").decides()
    assert story.condition("Finished")[0] == "False"
    story.after(5).pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()

    assert story.condition("Finished") == ("True", "AdapterPublished")


def test_a_run_that_ended_stays_what_it_is_whatever_is_written_into_its_spec() -> None:
    story = given_training().stage_succeeds("train", TRAINED).decides().user_sets({"lora.r": 0}).decides()

    assert story.status.phase == "Complete"
    assert story.status.error is None


@pytest.mark.parametrize("accepted", [False, True])
def test_a_name_with_which_no_pod_could_be_made_is_refused(accepted: bool) -> None:
    # A run of the time when longer names were accepted, whose Job the API server refuses for ever
    story = given_finetune()
    if accepted:
        story.decides()
        story.jobs.clear()
    story.body["metadata"]["name"] = "n" * (names.MAX_NAME_LENGTH + 1)

    story.after(60).decides()

    assert story.condition("Failed") == ("True", "SpecInvalid")
    assert "metadata.name" in story.message
    assert f"at most {names.MAX_NAME_LENGTH} characters" in story.message
    assert story.jobs == {}


def test_the_longest_name_runs_on_as_many_nodes_as_may_be() -> None:
    story = given_finetune({"compute.nodes": 64, "compute.gpus": 1, "training.effectiveBatchSize": 64})
    story.body["metadata"]["name"] = "n" * names.MAX_NAME_LENGTH

    story.decides().after(2).stage_succeeds("prepare", PREPARED).decides()

    assert story.stages == ["prepare", "train"]


def test_a_refused_sweep_is_finished_for_who_waits() -> None:
    story = given_sweep({"grid.lora.r": [0]}).decides()

    assert story.status.phase == "Failed"
    for kind in ("Finished", "Failed", "Stalled"):
        assert story.condition(kind) == ("True", "SpecInvalid")
    assert not story.status.finished
