"""The processes of a run, as one of them sees the others; a process that is alone is a group of one.

Waiting for another process (for files, for a claim, for the end) goes through the store and is polled, so SIGTERM is
heard at once and nothing times out. Collectives are for what all processes do at the same time, step by step.

What processes send each other are numbers and JSON of bounded size, never pickles: an unpickled object runs code.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from pydantic import TypeAdapter, ValidationError

from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.processes.rank import LostContact, Place

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_POLL_SECONDS = 0.1
#: How long a process waits for others at the end, where nothing depends on it any more.
_PARTING_SECONDS = 15.0
_PUBLISHED = "published"
#: Most bytes of one word, and of what one process adds to a gathering.
_MAX_BYTES = 1 << 20
#: Seconds within which a process learns whether the others are there.
_PROBE_SECONDS = 5.0


class Group:
    """Tells and asks the other processes. With one process every method answers at once."""

    def __init__(self, place: Place | None = None, store: dist.Store | None = None) -> None:
        """`meeting.join` makes a group of several."""
        self.place = place or Place()
        self._store = store

    @property
    def size(self) -> int:
        """Processes of the run."""
        return self.place.size

    def total(self, *numbers: float) -> tuple[float, ...]:
        """Return the sums over all processes, the same to the last bit in each."""
        if self.place.alone:
            return numbers
        mine = torch.tensor(numbers, dtype=torch.float64)
        all_of_them = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(all_of_them, mine)
        return tuple(torch.stack(all_of_them).sum(0).tolist())

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Sum up a tensor of each process, all of one shape and on the CPU; the same to the last bit in each."""
        if not self.place.alone:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set in any process. All processes wait for each other here."""
        return self.total(float(flag))[0] > 0

    def smallest(self, number: int) -> int:
        """Return the smallest number of all processes."""
        if self.place.alone:
            return number
        value = torch.tensor(number, dtype=torch.int64)
        dist.all_reduce(value, dist.ReduceOp.MIN)
        return int(value)

    def gathered(self, content: bytes) -> list[bytes] | None:
        """Gather what every process has, by rank, at most 1 MiB each; for the first process alone.

        Raises:
            ValueError: a process says that it has more.
        """
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(content)]))
        lengths = [int(size) for size in sizes]
        if not all(0 <= length <= _MAX_BYTES for length in lengths):
            raise ValueError(f"the words to gather have lengths {lengths}; at most {_MAX_BYTES} bytes each are allowed")
        mine = torch.zeros(max(lengths), dtype=torch.uint8)
        mine[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        blocks = [torch.empty_like(mine) for _ in lengths] if self.place.is_leader else None
        dist.gather(mine, blocks, dst=0)
        if blocks is None:
            return None
        return [block[:length].numpy().tobytes() for block, length in zip(blocks, lengths, strict=True)]

    def from_leader(self, name: str, kind: Any, make: Callable[[], _T]) -> _T:
        """Return what `make` returns in the leader, for every process: JSON of the type `kind`."""
        return self._from(name, kind, make, speaks=self.place.is_leader)

    def from_pod_leader(self, name: str, kind: Any, make: Callable[[], _T]) -> _T:
        """Return what `make` returns in the first process of the pod, for each of them: JSON of the type `kind`."""
        return self._from(f"{name}/{self.place.pod}", kind, make, speaks=self.place.leads_pod)

    def _from(self, name: str, kind: Any, make: Callable[[], _T], *, speaks: bool) -> _T:
        value = make() if speaks else None
        if self._store is None:
            return cast("_T", value)  # alone, a process always speaks
        try:
            if speaks:
                self._store.set(name, encoded(value))
                return cast("_T", value)
            while not self._store.check([name]):
                time.sleep(_POLL_SECONDS)
            return cast("_T", decoded(name, kind, self._store.get(name)))
        except dist.DistError as error:
            raise LostContact from error

    def dismiss(self) -> None:
        """Let the processes go that wait for this, and see them go: in the leader, when the run is published."""
        waiting = [f"gone/{pod}" for pod in range(1, self.size // self.place.local_size)]
        if self._store is None or not waiting:
            return
        self.from_leader(_PUBLISHED, bool, lambda: True)
        self._await(waiting)

    def await_dismissal(self) -> None:
        """Wait until the leader has published: one process of each other pod does.

        A pod that ended well is never started again, so it must not end before the whole run has ended well.

        Raises:
            LostContact: the leader is gone.
        """
        if self.place.pod and self.place.leads_pod and self._store is not None:
            self.from_leader(_PUBLISHED, bool, lambda: True)
            self._store.set(f"gone/{self.place.pod}", "1")

    def leave(self) -> None:
        """Do without collectives from now on. All processes wait for each other here."""
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


def encoded(value: object) -> str:
    """Encode a word as it lies in the store.

    Raises:
        ValueError: it is too long.
    """
    text = json.dumps(value)
    if len(text) > _MAX_BYTES:
        size = counted(len(text), "byte")
        raise ValueError(f"a word of {size} is too long for the other processes; {_MAX_BYTES} are allowed")
    return text


def decoded(name: str, kind: Any, content: bytes) -> Any:
    """Decode a word from the store into a value of the type `kind`.

    Raises:
        TrainerError: 69, it is none: somebody else wrote it.
    """
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has {counted(len(content), 'byte')}")
        return TypeAdapter(kind).validate_json(content, strict=True)
    except (ValueError, ValidationError) as error:
        log.warning("the word %s cannot be used: %s", name, error)
        raise TrainerError(
            ExitCode.UNAVAILABLE,
            f"the processes of the run cannot understand each other: the word {name!r} is not one of theirs",
            hint="Something else writes to the run's store; let only the pods of the run reach each other.",
        ) from None


def contact_is_lost() -> bool:
    """Tell whether other processes are gone: asked when something failed here, to tell cause from consequence."""
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
