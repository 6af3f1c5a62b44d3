"""Calls to a store that fail as planned, and a clock that only waiting moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from lora_trainer.backoff import Backoff
from lora_trainer.store.retry import Retries


def answer(code: str, status: int, message: str = "") -> ClientError:
    """An answer of S3 that is an error."""
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )  # type: ignore[typeddict-item]


@dataclass
class Time:
    """A clock that moves only when somebody sleeps."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waits.append(seconds)
        self.now += seconds

    def retries(self, budget: float, *, renew: Callable[[], None] = lambda: None) -> Retries:
        """Retries that live in this time and wait as long as they may."""
        backoff = Backoff(sleep=self.sleep, clock=lambda: self.now, draw=lambda low, high: high)
        return Retries(budget, renew, backoff=backoff)


def failing(*errors: Exception) -> Callable[[], str]:
    """A call that raises these errors, one a try, and then is done."""
    left: Iterator[Exception] = iter(errors)

    def action() -> str:
        for error in left:
            raise error
        return "done"

    return action


def always(error: Exception) -> Callable[[], str]:
    """A call that never succeeds."""

    def action() -> str:
        raise error

    return action
