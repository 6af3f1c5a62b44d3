"""The processes of a run, as one of them sees the others; a process that is alone is a group of one.

Waiting for another process (for files, for a claim, for the end) goes through the store and is polled, so SIGTERM is
heard at once and nothing times out. Collectives are for what all processes do at the same time, step by step.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.processes.place import LostContact, Place, place_of

log = logging.getLogger(__name__)

#: Longer than the patience of `callbacks.watchdog`, which also shows the stacks.
_COLLECTIVE_TIMEOUT = timedelta(hours=1)
#: Seconds in which all processes of the run must have come to the meeting point.
_MEETING_SECONDS = 1800.0
_POLL_SECONDS = 0.1
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 1.0
#: How long a process waits for others at the end, where nothing depends on it any more.
_PARTING_SECONDS = 15.0
_PUBLISHED = "published"
_HINT = "Look at the other pods of the run, and let pods of the namespace reach each other."
#: Seconds within which a process learns whether the others are there.
_PROBE_SECONDS = 5.0


class Group:
    """Tells and asks the other processes. With one process every method answers at once."""

    def __init__(self, place: Place | None = None, store: dist.Store | None = None) -> None:
        """`join` makes a group of several."""
        self.place = place or Place()
        self._store = store

    @property
    def size(self) -> int:
        """Processes of the run."""
        return self.place.size

    def total(self, *numbers: float) -> tuple[float, ...]:
        """The sums over all processes, the same to the last bit in each."""
        if self.place.alone:
            return numbers
        mine = torch.tensor(numbers, dtype=torch.float64)
        all_of_them = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(all_of_them, mine)
        return tuple(torch.stack(all_of_them).sum(0).tolist())

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. All processes wait for each other here."""
        return self.total(float(flag))[0] > 0

    def smallest(self, number: int) -> int:
        """The smallest number of all processes."""
        if self.place.alone:
            return number
        value = torch.tensor(number, dtype=torch.int64)
        dist.all_reduce(value, dist.ReduceOp.MIN)
        return int(value)

    def gathered(self, content: bytes) -> list[bytes] | None:
        """What every process has, by rank; for the chief alone."""
        everything: list[Any] | None = [None] * self.size if self.place.is_chief else None
        dist.gather_object(content, everything, dst=0)
        return everything

    def from_chief(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns in the chief, for every process; JSON."""
        return self._from(name, make, speaks=self.place.is_chief)

    def from_leader(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns in the first process of the pod, for each of its processes; JSON."""
        return self._from(f"{name}/{self.place.pod}", make, speaks=self.place.leads_pod)

    def _from(self, name: str, make: Callable[[], Any], *, speaks: bool) -> Any:
        value = make() if speaks else None
        if self._store is None:
            return value
        try:
            if speaks:
                self._store.set(name, json.dumps(value))
                return value
            while not self._store.check([name]):
                time.sleep(_POLL_SECONDS)
            return json.loads(self._store.get(name))
        except dist.DistError as error:
            raise LostContact from error

    def dismiss(self) -> None:
        """In the chief, when the run is published: let the processes that wait for this go, and see them go."""
        waiting = [f"gone/{pod}" for pod in range(1, self.size // self.place.local_size)]
        if self._store is None or not waiting:
            return
        self.from_chief(_PUBLISHED, lambda: True)
        self._await(waiting)

    def await_dismissal(self) -> None:
        """Elsewhere: one process of each other pod waits until the chief has published.

        A pod that ended well is never started again, so it must not end before the whole run has ended well.

        Raises:
            LostContact: the chief is gone.
        """
        if self.place.pod and self.place.leads_pod and self._store is not None:
            self.from_chief(_PUBLISHED, lambda: None)
            self._store.set(f"gone/{self.place.pod}", "1")

    def leave(self) -> None:
        """No collectives from now on. All processes wait for each other here."""
        if self._store is None:
            return
        self.any(False)
        # The last answers may still be under way: who closes its connections now could cut off a slower process.
        self._store.set(f"left/{self.place.rank}", "1")
        self._await([f"left/{rank}" for rank in range(self.size)])
        dist.destroy_process_group()

    def _await(self, words: list[str]) -> None:
        """Wait a little for words of other processes, which may as well have ended."""
        deadline = time.monotonic() + _PARTING_SECONDS
        try:
            while self._store is not None and not self._store.check(words) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        except dist.DistError:
            log.info("other processes have ended")


def join() -> Group:
    """Meet the other processes of the run; alone, without a launcher.

    Raises:
        TrainerError: 69, they did not come.
        LostContact: they came and went again.
    """
    place = place_of()
    if place.alone or place.folder is None:
        return Group()
    deadline = time.monotonic() + _MEETING_SECONDS
    if place.address is None:
        # All in one pod: no need to guess a network interface.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        store: dist.Store = dist.FileStore(str(place.folder / "store"), place.size)
    else:
        store = _store_at(*place.address, place, deadline)
    try:
        _meet(store, place, deadline)
    except dist.DistError as error:
        raise LostContact from error
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=dist.PrefixStore("collectives", store),
            rank=place.rank,
            world_size=place.size,
            timeout=_COLLECTIVE_TIMEOUT,
        )
    except RuntimeError as error:
        raise LostContact from error
    log.info("process %d of %d", place.rank, place.size)
    return Group(place, dist.PrefixStore("words", store))


def contact_is_lost() -> bool:
    """Whether other processes are gone: asked when something failed here, to tell cause from consequence."""
    if not dist.is_initialized():
        return False
    try:
        probe = dist.all_reduce(torch.zeros(1), async_op=True)
        deadline = time.monotonic() + _PROBE_SECONDS
        while not probe.is_completed():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        probe.wait()
    except RuntimeError:
        return True
    return False


def _store_at(host: str, port: int, place: Place, deadline: float) -> dist.Store:
    """The store that the chief keeps for processes of several pods.

    Its name and its pod may come late, so it is tried until then, where SIGTERM is heard.

    Raises:
        TrainerError: 69, it did not come.
    """
    if place.is_chief:
        return dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    while True:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
            return dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_CONNECT_SECONDS))
        except (OSError, dist.DistError) as error:
            if time.monotonic() > deadline:
                raise TrainerError(
                    ExitCode.UNAVAILABLE,
                    f"the first pod of the run cannot be reached at {host}:{port}: {error}",
                    hint=_HINT,
                ) from None
        time.sleep(_RETRY_SECONDS)


def _meet(store: dist.Store, place: Place, deadline: float) -> None:
    """Wait for all where SIGTERM is heard, before `init_process_group` waits where it is not."""
    if store.add(f"here/{place.rank}", 1) > 1:
        # Another process had this place, so this is the group of a chief that goes on to its end without us.
        log.info("waiting for the end of the present group")
        while True:
            store.check(["never"])  # fails when the chief ends
            time.sleep(_POLL_SECONDS)
    everybody = [f"here/{rank}" for rank in range(place.size)]
    while not store.check(everybody):
        if time.monotonic() > deadline:
            missing = [rank for rank in range(place.size) if not store.check([f"here/{rank}"])]
            raise TrainerError(
                ExitCode.UNAVAILABLE,
                f"processes {missing} of {place.size} did not come within {_MEETING_SECONDS:.0f} s",
                hint=_HINT,
            )
        time.sleep(_POLL_SECONDS)
