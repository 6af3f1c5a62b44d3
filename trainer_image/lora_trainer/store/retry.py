"""Waiting for a store that is away: exponential back-off with full jitter inside a stated budget."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from lora_trainer.errors import TrainerError
from lora_trainer.store import errors
from lora_trainer.store.access_history import AccessHistory, Right
from lora_trainer.store.errors import ErrorClass

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Fresh credentials may take a moment to be written; after this they are taken for really expired.
FRESH_CREDENTIALS_SECONDS = 20.0


@dataclass(frozen=True)
class _Verdict:
    """How long a failure is waited for, in seconds, and what it is to the user when it lasts longer."""

    patience: float
    ended: Callable[[float], TrainerError]


@dataclass
class Retries:
    """Calls an action until it succeeds, fails for good or the budget is spent.

    The wait before try n is drawn from 0 to `min(longest_wait, first_wait * 2**n)` seconds ("full jitter"), so pods
    that lost the store together do not come back together. The budget runs from the first failure of the action.

    A refusal is final where the store never allowed the same to this process. What it did allow it may refuse for a
    while (a clock that was set, a key that is exchanged), so that is waited for; when it lasts, the process ends with
    a code for which a new pod is started, and that one reads the Secret anew.
    """

    budget_seconds: float
    renew_credentials: Callable[[], None] = lambda: None
    first_wait: float = 0.25
    longest_wait: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[float, float], float] = field(default=random.uniform)
    history: AccessHistory = field(default_factory=AccessHistory)

    def call(
        self,
        action: Callable[[], T],
        uri: str,
        *,
        right: Right = Right.READ,
        handled: Callable[[BaseException], bool] | None = None,
    ) -> T:
        """The result of `action`, which asks for `right` at `uri`. Errors for which `handled` holds go through.

        Raises:
            TrainerError: the failure is final, or lasted longer than the budget (exit code 69, or 84 for a full
                bucket).
        """
        failed_since: float | None = None
        tries = 0
        while True:
            try:
                result = action()
            except errors.CLIENT_ERRORS as raised:
                error = errors.unwrap(raised)
                if errors.proves_access(error):
                    self.history.record(right, uri)
                if handled is not None and handled(error):
                    raise error from None
                now = self.clock()
                failed_since = now if failed_since is None else failed_since
                self._wait_or_give_up(error, right, uri, away=now - failed_since, tries=tries)
                tries += 1
            else:
                self.history.record(right, uri)
                return result

    def _wait_or_give_up(self, error: BaseException, right: Right, uri: str, *, away: float, tries: int) -> None:
        verdict = self._judge(error, right, uri)
        patience = min(self.budget_seconds, verdict.patience)
        if errors.classify(error) is ErrorClass.CREDENTIALS:
            self.renew_credentials()
        if away >= patience:
            raise verdict.ended(away) from error
        wait = self.draw(0, min(self.longest_wait, self.first_wait * 2**tries))
        wait = min(wait, patience - away)
        code = errors.code_of(error)
        log.warning("%s: %s; trying again in %.1f s, giving up in %.0f s", uri, code, wait, patience - away)
        self.sleep(wait)

    def _judge(self, error: BaseException, right: Right, uri: str) -> _Verdict:
        error_class = errors.classify(error)
        final = errors.translate(error, uri)
        if error_class is ErrorClass.PERMANENT:
            return _Verdict(0, lambda away: final)
        if error_class is ErrorClass.TRANSIENT:
            return _Verdict(self.budget_seconds, lambda away: errors.unavailable(uri, errors.code_of(error), away))
        of_credentials = error_class is ErrorClass.CREDENTIALS
        worked = self.history.knows_credentials() if of_credentials else self.history.allowed(right, uri)
        if error_class is ErrorClass.FULL:
            return _Verdict(self.budget_seconds if worked else 0, lambda away: final)
        if worked:
            return _Verdict(self.budget_seconds, lambda away: errors.refused_for_now(final, away))
        if self.history.proven_by_prepare:
            return _Verdict(FRESH_CREDENTIALS_SECONDS, lambda away: errors.refused_for_now(final, away))
        return _Verdict(FRESH_CREDENTIALS_SECONDS if errors.is_expired(error) else 0, lambda away: final)
