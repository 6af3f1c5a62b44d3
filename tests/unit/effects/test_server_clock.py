"""The API server's time, whatever this machine's own clock says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lora_operator.effects.api.server_clock import ServerClock

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@dataclass
class Monotonic:
    seconds: float = 500.0

    def __call__(self) -> float:
        return self.seconds


def date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def test_the_server_says_the_time_and_the_monotonic_clock_carries_it_on() -> None:
    monotonic = Monotonic()
    clock = ServerClock(monotonic)
    clock.learn(date(NOON))

    monotonic.seconds += 90

    assert clock.now() == NOON + timedelta(seconds=90)


def test_the_latest_of_several_cut_seconds_is_nearest() -> None:
    monotonic = Monotonic()
    clock = ServerClock(monotonic)
    for tenth in range(30):  # the server's clock is at 12:00:00.5 plus this
        clock.learn(date((NOON + timedelta(seconds=0.5 + tenth / 10)).replace(microsecond=0)))
        monotonic.seconds += 0.1

    assert abs(clock.now() - (NOON + timedelta(seconds=3.5))) < timedelta(seconds=0.2)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_was_set_is_followed(seconds: int) -> None:
    clock = ServerClock(Monotonic())
    clock.learn(date(NOON))
    clock.learn(date(NOON + timedelta(seconds=seconds)))

    assert clock.now() == NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize("header", [None, "", "yesterday", "Fri, 99 Foo 2026 12:00:00 GMT"])
def test_an_answer_without_a_date_changes_nothing(header: str | None) -> None:
    clock = ServerClock(Monotonic())
    clock.learn(date(NOON))
    clock.learn(header)

    assert clock.now() == NOON


def test_before_the_first_answer_the_machines_own_clock_counts() -> None:
    assert abs(ServerClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
