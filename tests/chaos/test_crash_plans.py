"""The operator is killed before and after each of its writes, in every story: each ends as if it had not been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from support.chaos.figures import record
from support.chaos.plans import Story, StoryResult, tell
from support.chaos.scene import Site
from support.chaos.stories import STORIES

#: Operators that live at once.
_SIDE_BY_SIDE = 16


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def told(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[dict[str, asyncio.Task[StoryResult]]]:
    """The selected stories, all being told."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    selected: list[Story] = [
        cast("Story", item.callspec.params["story"]) for item in items if "told" in item.fixturenames
    ]
    running = asyncio.Semaphore(_SIDE_BY_SIDE)
    tasks = {story.name: asyncio.create_task(tell(site, story, running)) for story in selected}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.timeout(1500)
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_every_crash_ends_as_the_undisturbed_run(
    story: Story, told: dict[str, asyncio.Task[StoryResult]]
) -> None:
    result = await told[story.name]
    record(
        f"crash plans of {story.name}",
        writes=result.writes,
        plans=len(result.plans),
        struck=sum(plan.struck for plan in result.plans),
        failed=len(result.failed),
        duplicate_jobs=sum(plan.duplicate_jobs for plan in result.plans),
        lost_events=sum(plan.lost_events for plan in result.plans),
    )
    assert not result.failed, "\n".join(problem for plan in result.failed for problem in plan.problems)
