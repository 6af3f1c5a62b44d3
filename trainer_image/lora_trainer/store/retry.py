"""Waiting for a store that is away: exponential back-off with full jitter inside a stated budget."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from lora_trainer.store import errors
from lora_trainer.store.errors import Kind

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Fresh credentials may take a moment to be written; after this they are taken for really expired.
EXPIRED_SECONDS = 20.0


@dataclass
class Retries:
    """Calls an action until it succeeds, fails for good or the budget is spent.

    The wait before try n is drawn from 0 to `min(longest_wait, first_wait * 2**n)` seconds ("full jitter"), so pods
    that lost the store together do not come back together. The budget runs from the first failure of the action.
    """

    budget_seconds: float
    renew_credentials: Callable[[], None] = lambda: None
    first_wait: float = 0.25
    longest_wait: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[float, float], float] = field(default=random.uniform)

    def call(self, action: Callable[[], T], uri: str, *, handled: Callable[[BaseException], bool] | None = None) -> T:
        """The result of `action`. Errors for which `handled` holds go through as they are.

        Raises:
            TrainerError: the failure is permanent, or lasted longer than the budget (exit code 69).
        """
        failed_since: float | None = None
        tries = 0
        while True:
            try:
                return action()
            except errors.CLIENT_ERRORS as raised:
                error = errors.unwrap(raised)
                if handled is not None and handled(error):
                    raise error from None
                kind = errors.classify(error)
                if kind is Kind.PERMANENT:
                    raise errors.translate(error, uri) from error
                now = self.clock()
                failed_since = now if failed_since is None else failed_since
                self._wait_or_give_up(error, kind, uri, away=now - failed_since, tries=tries)
                tries += 1

    def _wait_or_give_up(self, error: BaseException, kind: Kind, uri: str, *, away: float, tries: int) -> None:
        code = errors.code_of(error)
        budget = self.budget_seconds
        if kind is Kind.EXPIRED:
            budget = min(budget, EXPIRED_SECONDS)
            self.renew_credentials()
        if away >= budget:
            raise errors.translate(error, uri) if kind is Kind.EXPIRED else errors.unavailable(uri, code, away)
        wait = self.draw(0, min(self.longest_wait, self.first_wait * 2**tries))
        wait = min(wait, budget - away)
        log.warning("%s: %s; trying again in %.1f s, giving up in %.0f s", uri, code, wait, budget - away)
        self.sleep(wait)
