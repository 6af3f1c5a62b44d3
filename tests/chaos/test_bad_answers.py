"""An API server that is overloaded and forgetful: three of ten answers are 410, 429 or 5xx, watches end after 2 s."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import pytest
from aiohttp import web

from support.api_proxy import ApiProxy
from support.chaos.figures import record
from support.chaos.plans import Disturbance, PlanResult, disturbed
from support.chaos.scene import Site
from support.chaos.stories import STORIES

_SHARE = 0.3
_WATCH_SECONDS = 2.0
_ROUNDS = 2
#: With every third request refused all takes longer: failures wait longer and longer, up to ten seconds.
_PATIENCE_SECONDS = 180.0


class Overloaded:
    """Answers some of the requests instead of the API server."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.answered: Counter[int] = Counter()

    def disturb(self, proxy: ApiProxy) -> None:
        """Stand before a proxy from now on."""
        proxy.watch_seconds = _WATCH_SECONDS
        proxy.disturb = self._answer

    def _answer(self, request: web.Request) -> web.Response | None:
        if self._random.random() >= _SHARE:
            return None
        status = self._random.choice((429, 500, 503, 410) if request.method == "GET" else (429, 500, 503))
        self.answered[status] += 1
        if status == 410 and "watch" in request.query:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
            return web.json_response(gone, dumps=lambda body: json.dumps(body) + "\n")
        headers = {"Retry-After": "1"} if status == 429 else {}
        body = {"kind": "Status", "code": status, "reason": "Expired" if status == 410 else "", "message": "made up"}
        return web.json_response(body, status=status, headers=headers)


@pytest.mark.timeout(900)
@pytest.mark.asyncio(loop_scope="session")
async def test_every_story_ends_as_undisturbed_when_every_third_request_fails(site: Site) -> None:
    troubles = [Overloaded(seed) for seed in range(len(STORIES) * _ROUNDS)]
    running = asyncio.Semaphore(12)
    told = [
        Disturbance(STORIES[number % len(STORIES)], trouble.disturb, _PATIENCE_SECONDS)
        for number, trouble in enumerate(troubles)
    ]
    results: list[PlanResult] = await asyncio.gather(*(disturbed(site, each, running) for each in told))
    answered: Counter[int] = sum((trouble.answered for trouble in troubles), Counter())
    failed = [result for result in results if result.problems]
    codes = {f"answered_{code}": count for code, count in sorted(answered.items())}
    duplicates = sum(result.duplicate_jobs for result in results)
    record("bad answers", stories=len(results), failed=len(failed), duplicate_jobs=duplicates, **codes)
    assert not failed, "\n".join(problem for result in failed for problem in result.problems)
