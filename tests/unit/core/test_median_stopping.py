"""Median stopping: who is given up, when, and who is not."""

from __future__ import annotations

import pytest

from lora_contract.status import Phase
from support.sweep_stories import SweepStory, given_sweep

JUDGED = {"maxParallel": 4, "medianStopping": {"startPercent": 30, "minTrials": 3}}


def given_four_trials(percent: int, *losses: float, **rule: int) -> SweepStory:
    """Four trials that run, all this far, with these losses."""
    story = given_sweep(JUDGED | {"medianStopping": JUDGED["medianStopping"] | rule}).decides()  # type: ignore[operator]
    for number, loss in enumerate(losses):
        story.run_reaches(number, percent, loss)
    return story.decides()


@pytest.mark.parametrize(
    ("percent", "losses", "stopped"),
    [
        (30, (1.0, 1.1, 1.2, 3.0), [2, 3]),
        (39, (1.0, 1.1, 1.2, 3.0), [2, 3]),
        (29, (1.0, 1.1, 1.2, 3.0), []),
        (30, (1.0, 1.0, 1.0, 1.0), []),
        (30, (1.0, 1.0, 1.0, 1.1), [3]),
        (99, (1.0, 1.0, 1.0, 1.1), [3]),
        (30, (1.0, 1.1, 1.2), []),  # only two others are known
    ],
)
def test_a_trial_above_the_median_of_the_others_is_suspended(
    percent: int, losses: tuple[float, ...], stopped: list[int]
) -> None:
    story = given_four_trials(percent, *losses)

    assert [number for number in range(4) if story.is_suspended(number)] == stopped
    assert [number for number in range(4) if story.phases[number] == "Stopped"] == stopped
    assert story.events.count("TrialStopped") == len(stopped)


def test_without_the_rule_nobody_is_stopped() -> None:
    story = given_sweep({"maxParallel": 4}).decides()
    for number, loss in enumerate((1.0, 1.0, 1.0, 9.0)):
        story.run_reaches(number, 50, loss)

    assert not story.decides().is_suspended(3)


def test_what_is_told_of_a_stopped_trial_says_why_and_what_can_be_done() -> None:
    story = given_four_trials(30, 1.0, 1.1, 1.2, 3.0)

    told = [event.message for decision in story.decisions for event in decision.events]
    assert (
        "rates-03 was suspended at 30 % of its steps: its best evaluation loss 3 is above 1.1, the median of 3 other"
        " trials at that point. It keeps its checkpoint; set spec.suspend: false on it to let it go on."
    ) in told
    assert story.row(3).stopped_at_percent == 30


def test_trials_are_compared_at_the_same_point_not_at_the_same_time() -> None:
    story = given_four_trials(30, 2.0, 2.0, 2.0)
    for number in range(3):
        story.run_reaches(number, 90, 0.5)
    story.decides()

    story.run_reaches(3, 30, 1.9).decides()
    assert not story.is_suspended(3)

    story.run_reaches(3, 90, 0.6).decides()
    assert story.is_suspended(3)


def test_a_point_that_was_passed_unseen_is_not_made_up() -> None:
    story = given_sweep(JUDGED).decides()
    for number in range(3):
        story.run_completes(number, 0.1)
    story.decides().run_reaches(3, 30, 5.0).decides()

    assert not story.is_suspended(3)


def test_trials_that_ended_badly_count_as_far_as_they_came() -> None:
    story = given_four_trials(30, 1.0, 1.0, 1.0)
    for number in range(3):
        story.run_fails(number)

    assert story.decides().run_reaches(3, 30, 2.0).decides().is_suspended(3)


def test_a_trial_that_publishes_is_let_finish() -> None:
    story = given_four_trials(90, 1.0, 1.0, 1.0)
    story.run_is(3, Phase.PUBLISHING, percent=95, loss=9.0).decides()

    assert not story.is_suspended(3)


def test_a_stopped_trial_gives_its_place_to_the_next() -> None:
    story = given_sweep({"medianStopping": {"minTrials": 1}}).decides()
    story.run_reaches(0, 30, 1.0).run_reaches(1, 30, 2.0).decides()

    assert story.phases == ["Running", "Stopped", "Pending", "Waiting"]
    assert story.status.active == 2


def test_the_sweep_does_not_wait_for_stopped_trials() -> None:
    story = given_four_trials(30, 1.0, 1.1, 1.2, 3.0).run_completes(0, 0.9).run_completes(1, 1.0).decides()

    assert story.condition("Complete") == ("True", "BestAdapterFound")
    assert "2 complete, 2 stopped" in story.message


def test_a_stopped_trial_that_a_user_lets_go_on_is_not_stopped_again() -> None:
    story = given_four_trials(30, 1.0, 1.1, 1.2, 3.0).user_suspends(3, suspend=False)
    story.run_reaches(3, 40, 3.0).run_reaches(0, 40, 1.0).run_reaches(1, 40, 1.1).decides()

    assert not story.is_suspended(3)
    assert story.phases[3] == "Running"
    assert story.row(3).stopped_at_percent == 30


def test_a_trial_that_was_complete_before_it_could_be_stopped_is_complete() -> None:
    story = given_four_trials(30, 1.0, 1.1, 1.2, 3.0).run_completes(3, 0.1).decides()

    assert story.phases[3] == "Complete"
    assert story.status.best is not None
    assert story.status.best.trial == "rates-03"


def test_a_kill_between_suspending_and_saying_so_changes_nothing() -> None:
    story = given_sweep(JUDGED).decides()
    for number, loss in enumerate((1.0, 1.0, 1.0, 2.0)):
        story.run_reaches(number, 30, loss)

    story.decides(crash_before_status=True).run_is(3, Phase.SUSPENDED).decides()

    assert story.phases[3] == "Stopped"
    assert story.row(3).stopped_at_percent == 30


def test_a_suspended_sweep_judges_nobody_and_its_stopped_trials_stay_so() -> None:
    story = given_four_trials(30, 1.0, 1.1, 1.15, 1.12).user_sets({"suspend": True}).decides()
    for number in range(4):
        story.run_is(number, Phase.SUSPENDED)
    stopped = [number for number in range(4) if story.phases[number] == "Stopped"]
    assert stopped == [2, 3]

    story.decides().user_sets({"suspend": False}).decides()

    assert [number for number in range(4) if story.is_suspended(number)] == stopped
