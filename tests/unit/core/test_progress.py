"""Progress is shown, never trusted."""

from __future__ import annotations

import pytest

from lora_contract.progress import (
    METRIC_BEST_EVAL_LOSS,
    METRIC_PUBLISHING,
    METRIC_REFERENCE,
    METRIC_TOKENS_PER_SECOND,
    METRIC_TRAIN_LOSS,
    Metric,
    TrainerStatus,
)
from lora_operator.core.observe.observed import Progress
from lora_operator.core.record.progress import in_words
from support.pod_reports import PREPARED
from support.run_story import given_training


def test_progress_and_losses_are_shown() -> None:
    metrics = {METRIC_TRAIN_LOSS: 1.23456, METRIC_BEST_EVAL_LOSS: 1.5, METRIC_TOKENS_PER_SECOND: 812.7}
    story = given_training().reports_progress(12, **metrics).decides()

    progress, losses = story.status.progress, story.status.metrics
    assert progress is not None
    assert progress.summary == "12/24 (50%)"
    assert progress.eta == "2m 10s"
    assert progress.tokens_per_second == 812
    assert losses is not None
    assert (losses.train_loss, losses.best_eval_loss) == ("1.2346", "1.5000")


def test_asking_the_reference_is_shown_before_the_first_step() -> None:
    story = given_training().reports_progress(0, **{METRIC_REFERENCE: 40.0}).decides()

    assert story.status.progress is not None
    assert story.status.progress.summary == "reference 40%"
    assert (story.status.progress.step, story.status.progress.percent) == (0, 0)

    story.after(9).reports_progress(1).decides()

    assert story.status.progress.summary == "1/24 (4%)"


def test_progress_alone_is_written_at_most_every_five_seconds() -> None:
    story = given_training()
    before = story.writes
    for second in range(21):
        story.after(1).reports_progress(second).decides()

    assert story.writes - before == 5


def test_held_back_progress_is_written_in_the_end() -> None:
    story = given_training().reports_progress(3).decides().after(2).reports_progress(4).decides()
    wait = story.decisions[-1].requeue_after
    assert wait == pytest.approx(3)

    story.after(3).decides()

    assert story.status.progress is not None
    assert story.status.progress.step == 4
    assert story.decisions[-1].requeue_after is None


def test_progress_never_goes_back_within_a_run() -> None:
    story = given_training().reports_progress(12).decides().after(9).reports_progress(8).decides()

    assert story.status.progress is not None
    assert (story.status.progress.step, story.status.progress.percent) == (12, 50)


def test_a_hundred_percent_do_not_complete_a_run() -> None:
    story = given_training().reports_progress(24).decides()

    assert story.status.phase == "Running"
    assert not story.status.finished


def test_publishing_is_a_phase_of_its_own() -> None:
    story = given_training().reports_progress(24).decides().after(1)

    story.reports_progress(24, **{METRIC_PUBLISHING: 1}).decides()

    assert story.status.phase == "Publishing"
    assert story.condition("Reconciling") == ("True", "Publishing")


def test_a_stock_callback_that_says_percent_alone_is_understood() -> None:
    story = given_training()
    story.progress = Progress(
        TrainerStatus(progress_percentage=50, metrics=[Metric(name="x", value="nan?")]),
        story.now,
        next(reversed(story.pods)),
    )

    story.decides()

    assert story.status.progress is not None
    assert story.status.progress.summary == "12/24 (50%)"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (59, "59s"), (130, "2m 10s"), (11100, "3h 5m"), (187200, "2d 4h")]
)
def test_durations_read_well(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


def test_progress_of_an_earlier_run_is_not_shown() -> None:
    story = given_training().reports_progress(20).decides().user_sets({"runToken": "2"}).decides()
    story.after(2).stage_succeeds("prepare", PREPARED).decides().after(2).pod_runs("train").decides()

    assert story.status.phase == "Running"
    assert story.status.progress is None
