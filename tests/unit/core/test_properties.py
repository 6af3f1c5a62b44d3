"""What holds in every story, whatever happens and in whatever order."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from lora_operator.core.observe.resource import CreateError
from lora_operator.core.run.decision import CreateJob
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "100"))
STAGES = ("prepare", "train")


def with_job(stage: str, happens: Callable[[Story], object]) -> Callable[[Story], object]:
    """Something that can only happen to a Job that exists."""
    return lambda story: happens(story) if stage in story.stages else None


def refuse(story: Story) -> None:
    creates = [action for action in story.asked().actions if isinstance(action, CreateJob)]
    if creates:
        story.create_error = CreateError(creates[0].name, 403, "exceeded quota", story.monotonic)


def pods_are_forgotten(story: Story) -> None:
    story.pods.clear()
    story.gone.clear()


def happenings() -> list[tuple[str, Callable[[Story], object]]]:
    found: list[tuple[str, Callable[[Story], object]]] = [
        ("1 second", lambda s: s.after(1)),
        ("20 seconds", lambda s: s.after(20)),
        ("20 minutes", lambda s: s.after(1200)),
        ("suspend", lambda s: s.user_sets({"suspend": True})),
        ("resume", lambda s: s.user_sets({"suspend": False})),
        ("pods forgotten", pods_are_forgotten),
        ("create refused", refuse),
        ("create allowed", lambda s: setattr(s, "create_error", None)),
        ("phase edited", lambda s: s.body.get("status", {}).update(phase="Pending")),
        ("published", with_job("train", lambda s: s.pod_ends("train", 0, TRAINED))),
        ("prepared", with_job("prepare", lambda s: s.pod_ends("prepare", 0, PREPARED))),
        ("progress", with_job("train", lambda s: s.reports_progress(7))),
        ("admitted", with_job("train", lambda s: s.kueue_admits())),
        ("evicted", with_job("train", lambda s: s.workload(workload_condition("Evicted", "True", "Preempted")))),
    ]
    for stage in STAGES:
        found += [(f"{stage} {words}", with_job(stage, happens)) for words, happens in _to_a_job(stage)]
    return found


def _to_a_job(stage: str) -> list[tuple[str, Callable[[Story], object]]]:
    return [
        ("pod appears", lambda s: s.pod_of(stage)),
        ("pod runs", lambda s: s.pod_runs(stage)),
        ("pod unschedulable", lambda s: s.pod_is_unschedulable(stage, "no node")),
        ("image missing", lambda s: s.pod_waits(stage, "ErrImagePull", "unknown")),
        ("secret missing", lambda s: s.pod_waits(stage, "CreateContainerConfigError", 'secret "x" not found')),
        ("pod fails", lambda s: s.pod_ends(stage, 70, failed_report("boom"))),
        ("pod user error", lambda s: s.pod_ends(stage, 65, failed_report("bad row"))),
        ("pod stopped", lambda s: s.pod_ends(stage, 75)),
        ("job complete", lambda s: s.job_ends(stage)),
        ("job failed", lambda s: s.job_ends(stage, "Failed", "BackoffLimitExceeded", failed=4)),
        ("job deleted", lambda s: s.job_is_deleted(s.job(stage)["metadata"]["name"])),
    ]


HAPPENINGS = dict(happenings())
stories = st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=14)
#: Where a story begins: a new run, or one whose pod trains, with a queue or without.
beginnings = st.builds(
    lambda begin, queue: begin({"scheduling.queueName": "team-a"} if queue else {}),
    st.sampled_from([lambda changes: given_finetune(changes).decides(), given_training]),
    st.booleans(),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(story=stories, run=beginnings)
def test_a_decision_that_was_carried_out_is_not_made_again(story: list[str], run: Story) -> None:
    for happening in story:
        HAPPENINGS[happening](run)
        # One decision acts, a second may find the end of patience, a third cleans up; then nothing is left to do.
        run.decides().decides().decides()
        decision = run.asked()
        assert decision.actions == ()
        assert decision.events == ()
        assert decision.status.dump() == run.body["status"]


@settings(max_examples=EXAMPLES, deadline=None)
@given(before=stories, after=stories, run=beginnings)
def test_a_finished_run_never_starts_a_job(before: list[str], after: list[str], run: Story) -> None:
    for happening in before:
        HAPPENINGS[happening](run)
        run.decides()
    if not run.status.finished:
        return
    ended = run.status
    for happening in after:
        HAPPENINGS[happening](run)
        run.decides()
        assert not any(isinstance(action, CreateJob) for action in run.decisions[-1].actions)
        assert run.status.model_copy(update={"observed_generation": 0, "conditions": []}) == ended.model_copy(
            update={"observed_generation": 0, "conditions": []}
        )


@settings(max_examples=EXAMPLES, deadline=None)
@given(story=stories, run=beginnings)
def test_every_status_is_whole(story: list[str], run: Story) -> None:
    for happening in story:
        HAPPENINGS[happening](run)
        run.decides()
        status = run.status
        holds = {c.type for c in status.conditions if c.status == "True"}
        assert len(status.conditions) == 9
        assert not {"Ready", "Stalled"} <= holds
        assert not {"Reconciling", "Finished"} <= holds
        assert ("Finished" in holds) == bool({"Complete", "Failed"} & holds) == (status.completion_time is not None)
        assert len(status.attempts) <= 10
        assert all(len(c.message) <= 1024 for c in status.conditions)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    story=stories,
    begin=st.sampled_from([lambda changes: given_finetune(changes).decides(), given_training]),
    queue=st.booleans(),
    skew=st.sampled_from([-3600, -660, -20, 20, 660, 3600]),
)
def test_clocks_that_differ_lead_to_the_same_decisions(
    story: list[str], begin: Callable[[dict[str, str]], Story], queue: bool, skew: int
) -> None:
    changes = {"scheduling.queueName": "team-a"} if queue else {}
    right, wrong = begin(changes), begin(changes)
    wrong.skew = timedelta(seconds=skew)
    for happening in story:
        for run in (right, wrong):
            HAPPENINGS[happening](run)
            run.decides()
        expected, decision = right.decisions[-1], wrong.decisions[-1]
        assert (decision.actions, decision.follow_up) == (expected.actions, expected.follow_up)
        assert decision.events == expected.events
        if not right.status.finished:  # what is left of ttlSecondsAfterFinished is counted on the server's clock
            assert decision.requeue_after == expected.requeue_after
        assert [(c.type, c.status, c.reason, c.message) for c in wrong.status.conditions] == [
            (c.type, c.status, c.reason, c.message) for c in right.status.conditions
        ]


@settings(max_examples=EXAMPLES, deadline=None)
@given(story=stories, run=beginnings)
def test_a_run_that_is_finished_or_suspended_holds_no_pod(story: list[str], run: Story) -> None:
    for happening in story:
        HAPPENINGS[happening](run)
        run.decides()
        jobs = run.observed().jobs
        if run.status.finished:
            assert all(job.finished for job in jobs)
        if run.condition("Suspended")[0] == "True":
            assert all(pod.finished for job in jobs if not job.finished for pod in run.observed().pods_of(job.name))
