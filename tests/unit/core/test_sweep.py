"""The whole way of a sweep."""

from __future__ import annotations

import pytest

from lora_contract.status import Phase
from lora_contract.sweep import TrialPhase
from lora_operator.core.observe.resource import CreateError
from support.specs import REMOVED
from support.sweep_stories import SweepStory, given_sweep

BETAS = {
    "maxParallel": 4,
    "template.spec.method": {"dpo": {}},
    "grid": {"method": {"dpo": {"beta": [0.05, 0.1, 0.2, 0.4]}}},
}


def test_where_beta_is_varied_the_best_trial_prefers_most_rows_rightly() -> None:
    # Losses of another beta are smaller by themselves
    story = given_sweep(BETAS).decides()
    story.run_completes(0, 0.9).run_completes(1, 0.6, accuracy=0.9).run_completes(3, 0.1, accuracy=0.7)
    # The trial that says nothing of preferences is not the best, nor is the one with the lowest loss
    story.run_completes(2, 0.5, accuracy=0.9).decides()
    best = story.status.best
    assert best is not None
    # Of equal ones it is the one with the lower loss
    assert (best.trial, best.best_eval_accuracy, best.best_eval_loss) == ("rates-02", "0.9", "0.5")
    assert "rates-02 is best with 0.9 of the validation rows preferred rightly (method.dpo.beta: 0.2)" in story.message


def test_losses_that_mean_something_else_stop_no_trial() -> None:
    story = given_sweep(BETAS | {"medianStopping": {}}).decides()
    assert story.condition("Ready") == ("False", "SpecInvalid")
    assert "medianStopping: it compares evaluation losses" in story.message


def test_the_first_visit_starts_as_many_trials_as_may_run_at_once() -> None:
    story = given_sweep().decides()

    assert list(story.runs) == ["rates-00", "rates-01"]
    assert story.phases == ["Pending", "Pending", "Waiting", "Waiting"]
    assert story.status.summary == "0/4"
    assert story.status.active == 2
    assert story.condition("Reconciling") == ("True", "TrialsRunning")
    assert story.condition("Accepted") == ("True", "SpecAccepted")
    assert story.events == ["TrialsRunning"]


def test_a_trial_is_an_ordinary_run_that_the_sweep_controls() -> None:
    story = given_sweep(propagated_labels=("team",)).decides()

    run = story.runs["rates-01"]
    assert run["kind"] == "LoRAFineTune"
    assert run["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "lora-operator", "lora-operator.dev/sweep": "rates", "team": "a",
    }  # fmt: skip
    (owner,) = run["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("LoRASweep", "uid-of-the-sweep", True)
    assert run["spec"]["training"]["learningRate"] == 0.0002
    assert run["spec"]["lora"]["r"] == 8


def test_the_next_trial_starts_when_one_is_over() -> None:
    story = given_sweep().decides().run_completes(0, 0.9).decides()

    assert story.phases == ["Complete", "Pending", "Pending", "Waiting"]
    assert story.status.active == 2


def test_more_may_be_let_run_at_once_and_less_stops_nothing() -> None:
    story = given_sweep().decides().user_sets({"maxParallel": 4}).decides()
    assert story.status.active == 4

    story.user_sets({"maxParallel": 1}).decides()
    assert story.status.active == 4
    assert not any(story.is_suspended(number) for number in range(4))


def test_the_best_is_the_complete_trial_with_the_lowest_evaluation_loss() -> None:
    story = given_sweep({"maxParallel": 4}).decides()
    story.run_completes(0, 0.9).decides()
    assert story.status.best is not None
    assert story.status.best.trial == "rates-00"

    story.run_completes(1, 0.5).run_fails(2).run_completes(3, 0.7).decides()

    best = story.status.best
    assert best is not None
    assert (best.trial, best.best_eval_loss, best.test_loss) == ("rates-01", "0.5", "0.6")
    assert best.artifact.uri == "s3://adapters/team-a/rates-01/1"
    assert best.parameters == {"lora.r": "8", "training.learningRate": "0.0002"}
    assert story.phases == ["Complete", "Complete", "Failed", "Complete"]
    assert story.status.phase == "Complete"
    assert story.status.summary == "4/4"
    assert story.status.completion_time is not None
    for kind in ("Ready", "Finished", "Complete"):
        assert story.condition(kind) == ("True", "BestAdapterFound")
    assert story.condition("Failed")[0] == story.condition("Stalled")[0] == "False"
    assert "lora.r: 8, training.learningRate: 0.0002" in story.message
    assert "3 complete, 1 failed" in story.message


def test_a_sweep_of_failures_fails() -> None:
    story = given_sweep({"maxParallel": 4}).decides()
    for number in range(4):
        story.run_fails(number)
    story.decides()

    for kind in ("Failed", "Stalled", "Finished"):
        assert story.condition(kind) == ("True", "NoTrialComplete")
    assert "4 failed" in story.message


def test_a_finished_sweep_stays_so_whatever_becomes_of_its_runs() -> None:
    story = given_sweep({"maxParallel": 4}).decides()
    for number in range(4):
        story.run_completes(number, 0.5)
    story.decides()
    before = story.status

    story.run_is_deleted(0).run_is_deleted(1).user_sets({"suspend": True}).decides()

    assert story.decisions[-1].actions == ()
    assert story.status.trials == before.trials
    assert story.status.best == before.best
    assert story.status.observed_generation == 2


def test_a_run_that_is_deleted_is_created_again_but_not_a_complete_one() -> None:
    story = given_sweep().decides().run_completes(0, 0.5).run_reaches(1, 40, 0.6).decides()
    story.run_is_deleted(0).run_is_deleted(1).decides()

    assert list(story.runs) == ["rates-02", "rates-01"]
    assert story.phases == ["Complete", "Pending", "Pending", "Waiting"]
    assert story.status.best is not None
    assert story.status.best.trial == "rates-00"


def test_a_failed_trial_is_tried_again_once_its_run_is_deleted() -> None:
    story = given_sweep().decides().run_fails(0).decides()
    assert story.phases[0] == "Failed"

    story.run_is_deleted(0).run_completes(1, 0.5).decides()

    assert story.phases == ["Pending", "Complete", "Pending", "Waiting"]


def test_a_suspended_sweep_suspends_its_trials_and_starts_none() -> None:
    story = given_sweep().decides().run_reaches(0, 10, 0.9).user_sets({"suspend": True}).decides().decides()

    assert story.is_suspended(0)
    assert story.is_suspended(1)
    assert story.status.phase == "Suspended"
    assert story.status.active == 0
    assert story.condition("Suspended") == ("True", "Suspended")
    assert story.condition("Reconciling")[0] == story.condition("Stalled")[0] == "False"
    assert len(story.runs) == 2

    story.run_is(0, Phase.SUSPENDED).run_is(1, Phase.SUSPENDED).decides()
    story.user_sets({"suspend": False}).decides(crash_before_status=True).decides().decides()

    assert not story.is_suspended(0)
    assert not story.is_suspended(1)
    assert len(story.runs) == 2
    assert story.condition("Suspended") == ("False", "NotSuspended")


def test_a_trial_that_a_user_suspends_gives_its_place_away_and_is_waited_for() -> None:
    story = given_sweep().decides().user_suspends(0).run_is(0, Phase.SUSPENDED).decides()
    assert list(story.runs) == ["rates-00", "rates-01", "rates-02"]

    for number in (1, 2):
        story.run_completes(number, 0.5).decides()
    story.run_completes(3, 0.5).decides()

    assert story.status.summary == "3/4"
    assert story.is_suspended(0)
    assert not story.status.finished


def test_a_refused_trial_is_told_and_tried_again_later() -> None:
    story = given_sweep()
    story.create_error = CreateError("rates-00", 403, "exceeded quota: runs", story.monotonic)
    story.decides()

    assert story.runs == {}
    assert story.condition("Reconciling") == ("True", "TrialRefused")
    assert "rates-00 was refused: exceeded quota: runs" in story.message
    assert story.decisions[-1].requeue_after == pytest.approx(15)

    story.after(16).decides()

    assert len(story.runs) == 2
    assert story.condition("Reconciling") == ("True", "TrialsRunning")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"grid": {}}, "spec.grid: name at least one field"),
        ({"template.spec.output": REMOVED}, "spec.template.spec.output: is missing; it has no default"),
        ({"grid.lora.r": [8, 8]}, "spec.trials 0 and 2 are the same"),
    ],
)
def test_a_spec_that_cannot_be_run_starts_nothing(changes: dict[str, object], says: str) -> None:
    story = given_sweep(changes).decides()

    assert story.runs == {}
    for kind in ("Accepted", "Ready"):
        assert story.condition(kind) == ("False", "SpecInvalid")
    for kind in ("Stalled", "Failed", "Finished"):
        assert story.condition(kind) == ("True", "SpecInvalid")
    assert says in story.message


def test_nothing_is_done_for_a_sweep_that_is_being_deleted() -> None:
    story = given_sweep()
    story.body["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"

    assert story.decides().runs == {}


def test_a_kill_between_actions_and_status_creates_nothing_twice() -> None:
    story = given_sweep().decides(crash_before_status=True).decides()

    assert list(story.runs) == ["rates-00", "rates-01"]
    assert story.phases == ["Pending", "Pending", "Waiting", "Waiting"]


def test_progress_alone_writes_no_status() -> None:
    story = given_sweep().decides().run_reaches(0, 31, 0.9).decides()
    before = story.writes
    for percent in range(32, 40):
        story.run_reaches(0, percent, 0.9).decides()

    assert story.writes == before


def test_a_status_written_by_hand_harms_nothing() -> None:
    story = given_sweep().decides().run_reaches(0, 10, 0.9)
    story.body["status"]["trials"] = [{"name": 5}]
    story.body["status"]["best"] = "rates-00"

    story.decides()

    assert story.phases[0] == "Running"
    assert story.status.best is None


def test_a_trial_knows_every_phase_of_a_run() -> None:
    assert {str(phase) for phase in Phase} | {"Waiting", "Stopped"} == {str(phase) for phase in TrialPhase}


def test_equal_observations_give_equal_decisions() -> None:
    story: SweepStory = given_sweep()

    assert story.asked() == story.asked()
