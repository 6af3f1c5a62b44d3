"""Fencing: of two processes on one run, the newer one goes on and the older one stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.status import ArtifactStatus
from lora_trainer.ledger.claims import Fenced, await_turn, newest_claim, take_claim
from support.s3_rig import Rig

ARTIFACT = ArtifactStatus(
    uri="s3://b/x", manifest_digest="0" * 64, size_bytes=1, base_model="m", required_max_lora_rank=8
)


def test_a_newer_claim_stops_the_older_process(rig: Rig, layout: RunLayout) -> None:
    older = take_claim(rig.store, layout, "uid-1")
    older.check()

    newer = take_claim(rig.store, layout, "uid-1")

    newer.check()
    with pytest.raises(Fenced) as fenced:
        older.check()
    assert (older.number, newer.number) == (1, 2)
    assert fenced.value.exit_code is ExitCode.CHECKPOINTED
    assert "claim 2" in fenced.value.message


def test_processes_that_start_together_get_different_numbers(rig: Rig, layout: RunLayout) -> None:
    store = rig.store
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda _: take_claim(store, layout, "uid-1"), range(6)))

    assert sorted(claim.number for claim in claims) == [1, 2, 3, 4, 5, 6]


def test_a_process_whose_run_was_finished_by_another_stops(rig: Rig, layout: RunLayout) -> None:
    claim = take_claim(rig.store, layout, "uid-1")
    rig.store.delete(layout.work)

    with pytest.raises(Fenced, match="finished this run"):
        claim.check()
    assert newest_claim(rig.store, layout) is None


def test_another_run_waits_while_the_holder_is_alive_and_adopts_what_it_publishes(rig: Rig, layout: RunLayout) -> None:
    published: list[ArtifactStatus] = []
    holder = take_claim(rig.store, layout, "uid-1")

    with holder.kept_alive(every_seconds=0.1), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            await_turn,
            rig.store,
            layout,
            "uid-2",
            lambda: published[0] if published else None,
            silence_seconds=2,
            poll_seconds=0.1,
        )
        first = rig.store.info(layout.claim(1))
        wait_until(lambda: rig.store.info(layout.claim(1)) != first)
        assert not waiting.done()
        published.append(ARTIFACT)

        assert waiting.result(30) == ARTIFACT


def test_a_silent_holder_is_replaced(rig: Rig, layout: RunLayout) -> None:
    take_claim(rig.store, layout, "uid-1")

    assert await_turn(rig.store, layout, "uid-2", lambda: None, silence_seconds=0.3, poll_seconds=0.1) is None


def test_a_holder_that_ended_is_not_waited_for(rig: Rig, layout: RunLayout) -> None:
    with take_claim(rig.store, layout, "uid-1").kept_alive():
        pass

    assert await_turn(rig.store, layout, "uid-2", lambda: None, silence_seconds=600, poll_seconds=600) is None


def test_a_removed_claim_does_not_come_back(rig: Rig, layout: RunLayout) -> None:
    with take_claim(rig.store, layout, "uid-1").kept_alive():
        rig.store.delete(layout.work)

    assert list(rig.store.list(layout.work)) == []


def test_the_next_process_of_the_same_run_does_not_wait(rig: Rig, layout: RunLayout) -> None:
    holder = take_claim(rig.store, layout, "uid-1")

    with holder.kept_alive(every_seconds=0.1):
        assert await_turn(rig.store, layout, "uid-1", lambda: None, silence_seconds=600, poll_seconds=600) is None


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.05)
