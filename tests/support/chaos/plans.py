"""Crash plans: one story told undisturbed, then once for each of the operator's writes and each side of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lora_contract import names
from support.api_proxy import ApiProxy
from support.chaos.mirror import Body, RefusedError
from support.chaos.scene import Scene, Site, When, scene

#: How long after the last act of a story its end may take, of the undisturbed run and of a plan.
END_SECONDS = 75.0
#: Nothing may change for this long before the end of the undisturbed run is taken.
_REST_SECONDS = 1.5
#: Events are told in the background, a tenth of a second apart.
_EVENT_SECONDS = 1.5
_TIME_LIMIT_SECONDS = 400.0
#: A prepare pod that goes with its Job may be gone before anybody sees it end.
_ENDS_THAT_MAY_NOT_BE_SEEN = (("prepare", "PodDeleted"),)
_STAGES = tuple(f"-{stage}" for stage in (names.STAGE_PREPARE, names.STAGE_TRAIN, names.STAGE_CHECK))


@dataclass(frozen=True)
class Story:
    """What users and the cluster do. `play` returns when nothing is to happen any more but the operator's work."""

    name: str
    play: Callable[[Scene], Awaitable[None]]
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Where the operator is killed."""

    story: Story
    write: int
    when: When

    def __str__(self) -> str:
        """As a report names it."""
        return f"{self.story.name}: killed {self.when} write {self.write}"


@dataclass(frozen=True)
class Disturbance:
    """What disturbs a whole story, and how long anything may take then."""

    story: Story
    disturb: Callable[[ApiProxy], None]
    patience: float

    def __str__(self) -> str:
        """As a report names it."""
        return f"{self.story.name}, disturbed"


@dataclass(frozen=True)
class End:
    """What must be equal after every crash, and what is only counted."""

    state: dict[str, Any]
    created: Counter[str]
    events: Counter[str]
    writes: list[str]


@dataclass
class PlanResult:
    """How a plan ended. `problems` is empty where it ended as the undisturbed run."""

    plan: Plan | Disturbance
    struck: bool
    seconds: float
    problems: list[str]
    duplicate_jobs: int = 0
    lost_events: int = 0


@dataclass
class StoryResult:
    """The undisturbed run and all plans of a story."""

    story: str
    writes: int
    plans: list[PlanResult]

    @property
    def failed(self) -> list[PlanResult]:
        """The plans that did not end as the undisturbed run."""
        return [result for result in self.plans if result.problems]


async def tell(site: Site, story: Story, running: asyncio.Semaphore) -> StoryResult:
    """Tell a story undisturbed, then with every crash; `running` bounds how many operators live at once."""
    async with running:
        reference = await _undisturbed(site, story)
    whens: tuple[When, When] = ("before", "after")
    plans = [Plan(story, number, when) for number in range(1, len(reference.writes) + 1) for when in whens]
    results = await asyncio.gather(*(_crash(site, plan, reference, running) for plan in plans))
    return StoryResult(story.name, len(reference.writes), list(results))


async def _undisturbed(site: Site, story: Story) -> End:
    async with scene(site, story.settings) as stage:
        async with asyncio.timeout(_TIME_LIMIT_SECONDS):
            await story.play(stage)
            before, since = None, time.monotonic()
            while time.monotonic() - since < _REST_SECONDS:
                end = _end_of(stage)
                if (end.state, end.writes) != before:
                    before, since = (end.state, end.writes), time.monotonic()
                await asyncio.sleep(0.1)
        return end


async def disturbed(site: Site, plan: Disturbance, running: asyncio.Semaphore) -> PlanResult:
    """Tell a story undisturbed, then disturbed from its beginning to its end."""
    async with running:
        reference = await _undisturbed(site, plan.story)
    async with running, scene(site, plan.story.settings) as stage:
        plan.disturb(stage.proxy)
        return await _compare(stage, plan, reference, plan.patience)


async def _crash(site: Site, plan: Plan, reference: End, running: asyncio.Semaphore) -> PlanResult:
    async with running, scene(site, plan.story.settings) as stage:
        stage.strike(plan.write, plan.when)
        return await _compare(stage, plan, reference, END_SECONDS)


async def _compare(stage: Scene, plan: Plan | Disturbance, reference: End, patience: float) -> PlanResult:
    started = time.monotonic()
    stage.patience = patience
    problems = []
    try:
        async with asyncio.timeout(_TIME_LIMIT_SECONDS):
            await plan.story.play(stage)
        await stage.until("the end of the run", lambda: _end_of(stage).state == reference.state)
        with suppress(AssertionError):  # what the crash lost does not come
            await stage.until(
                "its Events", lambda: not reference.events - _end_of(stage).events, seconds=_EVENT_SECONDS
            )
    except (AssertionError, TimeoutError, RefusedError) as error:
        problems = [str(error) or "the story did not end", *_differences(reference.state, _end_of(stage).state)]
    end = _end_of(stage)
    more = end.created - reference.created
    if more:
        problems.append(f"created more often than undisturbed: {dict(more)}")
    known = set(reference.events) if isinstance(plan, Disturbance) else set()  # how often is a matter of luck there
    more_events = Counter({event: count for event, count in end.events.items() if event not in known})
    if invented := _warnings(more_events - reference.events - _repeatable(reference.events)):
        problems.append(f"Warnings that the undisturbed run has not: {dict(invented)}")
    return PlanResult(
        plan=plan,
        struck=stage.kills > 0,
        seconds=time.monotonic() - started,
        problems=[f"{plan}: {problem} [{stage.namespace}]" for problem in problems],
        duplicate_jobs=sum(count for name, count in more.items() if name.endswith(_STAGES)),
        lost_events=sum((reference.events - end.events).values()),
    )


def _warnings(events: Counter[str]) -> Counter[str]:
    """Which Normal Events are told depends on what happens between two looks; a Warning names a cause."""
    return Counter({event: count for event, count in events.items() if event.startswith("Warning ")})


def _repeatable(events: Counter[str]) -> Counter[str]:
    """A crash between a status and its Events may repeat each at most once."""
    return Counter(dict.fromkeys(events, 1))


def _end_of(stage: Scene) -> End:
    mirror, namespace = stage.site.mirror, stage.namespace
    runs = {body["metadata"]["name"]: _run(stage, body) for body in mirror.all(names.PLURAL, namespace)}
    sweeps = {body["metadata"]["name"]: _sweep(body) for body in mirror.all(names.SWEEP_PLURAL, namespace)}
    left = sorted(_kind_of_job(body) for body in mirror.all("jobs", namespace))
    events = Counter(f"{event['type']} {event['reason']}" for event in mirror.all("events", namespace)
                     if event.get("reportingController", "").startswith(names.GROUP))  # fmt: skip
    made = (path for path in stage.proxy.created if not path.rpartition("/")[0].endswith(("/events", "/tokenreviews")))
    created = Counter(_without_hash(path.rpartition("/")[2]) for path in made)
    return End({"runs": runs, "sweeps": sweeps, "jobs": left}, created, events, list(stage.proxy.writes))


def _run(stage: Scene, body: Body) -> dict[str, Any]:
    status = body.get("status") or {}
    ends = [(each["stage"], each.get("reason")) for each in status.get("attempts") or ()]
    return {
        "phase": status.get("phase"),
        "conditions": _conditions(status),
        "attempts": [end for end in ends if end not in _ENDS_THAT_MAY_NOT_BE_SEEN],
        "artifact": (status.get("artifact") or {}).get("manifestDigest"),
        "error": (status.get("error") or {}).get("code"),
    }


def _sweep(body: Body) -> dict[str, Any]:
    status = body.get("status") or {}
    return {
        "conditions": _conditions(status),
        "trials": [(each["name"], each.get("phase")) for each in status.get("trials") or ()],
        "best": (status.get("best") or {}).get("trial"),
    }


def _conditions(status: Body) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions") or ()}


def _kind_of_job(job: Body) -> str:
    labels = job["metadata"].get("labels") or {}
    return f"{labels.get(names.LABEL_FINETUNE)} {labels.get(names.LABEL_STAGE)}"


def _without_hash(name: str) -> str:
    """A Job's name without the digest of the resource's uid, which differs from scene to scene."""
    head, _, tail = name.rpartition("-")
    return head if len(tail) == 8 else name


def _differences(wanted: dict[str, Any], found: dict[str, Any], where: str = "") -> list[str]:
    told = []
    for key in sorted(set(wanted) | set(found)):
        left, right = wanted.get(key), found.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            told += _differences(left, right, f"{where}{key}.")
        elif left != right:
            told.append(f"{where}{key} is {right}, undisturbed {left}")
    return told
