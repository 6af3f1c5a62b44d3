"""Trying again: exponential back-off with full jitter, for as long as each failure deserves."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Failure(NamedTuple):
    """A failure that may pass: how many seconds it is waited for yet, and what it is, for the log."""

    seconds_left: float
    description: str


@dataclass(frozen=True)
class Backoff:
    """Calls an action until it succeeds or its failure is final.

    The wait before try n is drawn from 0 to `min(longest_wait, first_wait * 2**n)` seconds ("full jitter"), so pods
    that lost a server together do not come back together.
    """

    first_wait: float = 0.25
    longest_wait: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[float, float], float] = random.uniform

    def call(
        self,
        action: Callable[[], T],
        caught: tuple[type[BaseException], ...],
        judge: Callable[[BaseException, float], Failure],
    ) -> T:
        """Return the result of `action`, tried again after errors of the `caught` types.

        `judge` is asked about each error, with the seconds since the first one of this call. It returns how long to
        go on, or raises what the error means where it is final.
        """
        failed_since: float | None = None
        tries = 0
        while True:
            try:
                return action()
            except caught as error:
                now = self.clock()
                failed_since = now if failed_since is None else failed_since
                left, description = judge(error, now - failed_since)
            wait = min(left, self.draw(0, min(self.longest_wait, self.first_wait * 2**tries)))
            log.warning("%s; trying again in %.1f s, giving up in %.0f s", description, wait, left)
            self.sleep(wait)
            tries += 1
