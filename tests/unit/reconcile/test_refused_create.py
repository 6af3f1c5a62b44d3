"""What the API server refuses to create is told on the run; a look at what exists that goes wrong is not that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from lora_operator.effects.api.client import Api, ApiError
from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.api.server_clock import ServerClock
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.runs import RunReconciler
from support.run_story import given_finetune


class Server:
    """An API server on which the Job exists already, and which answers every read with one error."""

    clock = ServerClock()

    def __init__(self, status: int, reason: str) -> None:
        self.error = ApiError(status, reason, "made up")

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        if method == "POST":
            raise ApiError(409, "AlreadyExists", "jobs exists already")
        raise self.error


@pytest.mark.parametrize(("status", "reason"), [(410, "Expired"), (429, "TooManyRequests"), (500, "InternalError")])
async def test_a_job_that_exists_but_cannot_be_read_now_was_not_refused(status: int, reason: str) -> None:
    story = given_finetune()
    cache = Cache()
    cache.put(Kind.FINETUNE, story.body)
    kube = Kube(cast("Api", Server(status, reason)), lambda: True)
    key = Key(story.body["metadata"]["namespace"], story.body["metadata"]["name"])
    reconciler = RunReconciler(cache=cache, kube=kube, events=EventRecorder(kube, "test"), settings=story.settings)

    with pytest.raises(ApiError, match="made up"):
        await reconciler.reconcile(key)

    observed = cache.observe(key)
    assert observed is not None
    assert observed.create_error is None


async def test_a_job_that_exists_but_may_not_be_read_is_told_as_a_missing_right_and_not_as_refused() -> None:
    story = given_finetune()
    cache = Cache()
    cache.put(Kind.FINETUNE, story.body)
    cache.isolated |= {story.body["metadata"]["namespace"]}
    kube = Kube(cast("Api", Server(403, "Forbidden")), lambda: True)
    key = Key(story.body["metadata"]["namespace"], story.body["metadata"]["name"])
    reconciler = RunReconciler(cache=cache, kube=kube, events=EventRecorder(kube, "test"), settings=story.settings)

    # The read of the Job that is there already is forbidden; the next decision knows it.
    await reconciler.reconcile(key)

    observed = cache.observe(key)
    assert observed is not None
    assert observed.create_error is not None
    story.create_error = replace(observed.create_error, time=story.monotonic)
    story.decides()
    assert story.condition("Reconciling") == ("True", "AdmissionDenied")
    assert story.message.startswith("Job ")
    assert "exists, but the operator may not read it: made up. Give the operator's ServiceAccount" in story.message
    assert "refused" not in story.message
