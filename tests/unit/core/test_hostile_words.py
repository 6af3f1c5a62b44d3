"""Whatever a pod, a queue or a report says, there is a decision, and the API server takes the status."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lora_contract.progress import ProgressReport
from lora_operator.core.observe.observed import Progress, WarningEvent, Warnings
from support.cluster_story import workload_condition
from support.crd_schema import violations
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "100"))

ANSI, TURNED = "\x1b[2J\x1b]0;owned\x07", "\u202egpj.exe\u2066"
TEXTS = st.text(max_size=40) | st.sampled_from(
    [ANSI, TURNED, "x" * 5000, "\x00", "\x9b31m", "\ud800", "<script>", "NaN", "-1e308", "9" * 400, ""]
)
TIMES = st.sampled_from(
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "1969-12-31T00:00:00Z", "now", ""]
)
NUMBERS = st.sampled_from([1e308, -1e308, 1e-320, 10**4000, -(10**30), 2**63, 2**53 + 1, -1, 0, 1.5, float("nan")])
LEAVES = TEXTS | TIMES | NUMBERS | st.booleans() | st.none()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in decoded JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in [(*path, key), *places(item, (*path, key))]]


def replaced(document: dict[str, Any], changes: list[tuple[tuple[Any, ...], Any]]) -> dict[str, Any]:
    """The document with other values at some places."""
    document = copy.deepcopy(document)
    for path, value in changes:
        part: Any = document
        try:
            for step in path[:-1]:
                part = part[step]
            part[path[-1]] = value
        except (LookupError, TypeError):
            continue
    return document


def documents(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A document of a known form with some values replaced by others."""
    change = st.tuples(st.sampled_from(places(good)), ANYTHING)
    return st.lists(change, max_size=4).map(lambda changes: replaced(good, changes))


FAILED = failed_report("no", param="dataset.uri").model_copy(update={"warnings": ["a"], "timing": TRAINED.timing})
REPORTS = st.sampled_from([PREPARED, TRAINED, FAILED]).flatmap(lambda good: documents(good.dump())) | ANYTHING
PROGRESS = {
    "trainerStatus": {
        "progressPercentage": 42,
        "estimatedRemainingSeconds": 75,
        "metrics": [
            {"name": name, "value": "7"}
            for name in ("step", "total_steps", "from_step", "loss", "best_eval_loss", "best_step", "publishing")
        ],
    }
}
CODES = st.sampled_from([0, 65, 70, 75, 78, 137, -1, 2**31 - 1])


def judged(story: Story) -> None:
    """What the operator writes after three looks in a row is what the API server takes."""
    for _ in range(3):
        story.decides()
        assert list(violations(story.body["status"])) == []
        for event in story.decisions[-1].events:
            assert all(char.isprintable() or char == "\n" for char in event.message)


def says(story: Story, stage: str, code: int, report: Any) -> Story:
    """The pod of a stage ends with any JSON as its last words."""
    story.pod_ends(stage, code)
    pod = next(reversed(story.pods.values()))
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = json.dumps(report)
    return story


def hint_of(length: int) -> dict[str, Any]:
    return {"stage": "train", "error": {"message": "no", "hint": "x" * length}}


@settings(max_examples=EXAMPLES, deadline=None)
@given(stage=st.sampled_from(["prepare", "train"]), code=CODES, report=REPORTS)
@example(stage="train", code=65, report=hint_of(1500))
@example(stage="train", code=0, report=TRAINED.dump() | {"timing": {"secondsAfterLastStep": 1e308}})
@example(stage="prepare", code=0, report=PREPARED.dump() | {"plan": {"rows": 1, "tokens": 1, "totalSteps": -5}})
def test_any_last_words_of_a_pod(stage: str, code: int, report: Any) -> None:
    story = given_finetune().decides() if stage == "prepare" else given_training()
    judged(says(story.after(60), stage, code, report))
    if code == 0:
        judged(story.job_ends(stage).after(1))
    judged(story.after(60).job_ends(stage, "Failed", "BackoffLimitExceeded", failed=2))


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=documents(PROGRESS))
def test_any_progress_that_is_taken(body: dict[str, Any]) -> None:
    try:
        report = ProgressReport.model_validate_json(json.dumps(body))
    except (ValidationError, ValueError):  # the sender is told so
        return
    story = given_training().after(20)
    story.progress = Progress(report.trainer_status, story.now, next(reversed(story.pods)))
    judged(story)
    judged(story.after(20).pod_ends("train", 137))


POD = {
    "metadata": {"deletionTimestamp": None},
    "spec": {"nodeName": "node-1"},
    "status": {
        "reason": "Evicted",
        "message": "no room",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "Other", "message": "no room"}],
    },
    "state": {"reason": "Error", "message": "no", "startedAt": "now", "finishedAt": "now"},
}


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(places(POD)).filter(lambda path: len(path) > 1), TEXTS | TIMES), max_size=6))
def test_any_state_of_a_pod(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    story = given_training().after(60).pod_ends("train", 137)
    pod, hostile = next(reversed(story.pods.values())), replaced(POD, changes)
    for part in ("metadata", "spec"):
        pod[part] |= hostile[part]
    pod["status"]["containerStatuses"][0]["state"]["terminated"] |= hostile["state"]
    pod["status"] |= {key: value for key, value in hostile["status"].items() if key != "conditions"}
    if isinstance(hostile["status"]["conditions"], list):
        pod["status"]["conditions"] = [each for each in hostile["status"]["conditions"] if isinstance(each, dict)]
    judged(story)


def warn(story: Story, text: str) -> Story:
    job = story.job("train")
    job["spec"]["suspend"] = False
    event = WarningEvent.from_dict({"reason": "FailedCreate", "message": text}, story.time)
    story.warnings = Warnings(job["metadata"]["name"], story.monotonic, (event,))
    return story


@pytest.mark.parametrize("hostile", [ANSI, TURNED, "x" * 5000, "\ud800", ""])
@pytest.mark.parametrize(
    "happens",
    [
        lambda story, text: story.pod_waits("train", "ErrImagePull", text),
        lambda story, text: story.pod_waits("train", "CreateContainerConfigError", text),
        lambda story, text: story.pod_waits("train", text, text),
        lambda story, text: story.pod_is_unschedulable("train", text),
        lambda story, text: story.workload(workload_condition("QuotaReserved", "False", text, text)),
        lambda story, text: story.workload(workload_condition("Evicted", "True", text, text)),
        lambda story, text: story.workload(workload_condition("Finished", "True", text, text)),
        lambda story, text: story.job_ends("train", "Failed", text),
        warn,
    ],
)
def test_any_words_of_the_cluster(happens: Callable[[Story, str], Story], hostile: str) -> None:
    story = given_finetune({"scheduling.queueName": "team-a"}).decides()
    story.stage_succeeds("prepare", PREPARED).decides().decides()
    judged(happens(story.after(5), hostile).after(30))
    judged(story.after(700))
