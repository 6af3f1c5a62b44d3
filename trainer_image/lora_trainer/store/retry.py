"""Waiting for a store that is away, inside a stated budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from lora_trainer.backoff import Backoff, Failure
from lora_trainer.errors import TrainerError
from lora_trainer.store import failures
from lora_trainer.store.access_history import AccessHistory, Right
from lora_trainer.store.failures import ErrorClass

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

    The budget runs from the first failure of the action.

    A refusal is final where the store never allowed the same to this process. What it did allow it may refuse for a
    while (a clock that was set, a key that is exchanged), so that is waited for; when it lasts, the process ends with
    a code for which a new pod is started, and that one reads the Secret anew.
    """

    budget_seconds: float
    renew_credentials: Callable[[], None] = lambda: None
    history: AccessHistory = field(default_factory=AccessHistory)
    backoff: Backoff = field(default_factory=Backoff)

    def call(
        self,
        action: Callable[[], T],
        uri: str,
        *,
        right: Right = Right.READ,
        handled: Callable[[BaseException], bool] | None = None,
    ) -> T:
        """Return the result of `action`, which asks for `right` at `uri`. Errors for which `handled` holds go through.

        Raises:
            TrainerError: the failure is final, or lasted longer than the budget (exit code 69, or 84 for a full
                bucket).
        """

        def judge(raised: BaseException, away: float) -> Failure:
            error = failures.unwrap(raised)
            if failures.proves_access(error):
                self.history.record(right, uri)
            if handled is not None and handled(error):
                raise error from None
            verdict = self._judge(error, right, uri)
            patience = min(self.budget_seconds, verdict.patience)
            if failures.classify(error) is ErrorClass.CREDENTIALS:
                self.renew_credentials()
            if away >= patience:
                raise verdict.ended(away) from error
            return Failure(patience - away, f"{uri}: {failures.code_of(error)}")

        result = self.backoff.call(action, failures.CLIENT_ERRORS, judge)
        self.history.record(right, uri)
        return result

    def _judge(self, error: BaseException, right: Right, uri: str) -> _Verdict:
        error_class = failures.classify(error)
        final = failures.translate(error, uri)
        if error_class is ErrorClass.PERMANENT:
            return _Verdict(0, lambda away: final)
        if error_class is ErrorClass.TRANSIENT:
            return _Verdict(self.budget_seconds, lambda away: failures.unavailable(uri, failures.code_of(error), away))
        of_credentials = error_class is ErrorClass.CREDENTIALS
        worked = self.history.knows_credentials() if of_credentials else self.history.allowed(right, uri)
        if error_class is ErrorClass.FULL:
            return _Verdict(self.budget_seconds if worked else 0, lambda away: final)
        if worked:
            return _Verdict(self.budget_seconds, lambda away: failures.refused_for_now(final, away))
        if self.history.proven_by_prepare:
            return _Verdict(FRESH_CREDENTIALS_SECONDS, lambda away: failures.refused_for_now(final, away))
        return _Verdict(FRESH_CREDENTIALS_SECONDS if failures.is_expired(error) else 0, lambda away: final)
