"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lora_cli.text.figures import age, bar, duration, figure, money, share, size
from lora_contract.counts import counted

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("loss", "read"),
    [
        ("0.00972377", "0.0097"),
        ("2.41238", "2.412"),
        ("0.5", "0.5000"),
        ("0.0000973", "9.7e-05"),
        ("0", "0"),
        ("-1.5", "-1.500"),
        ("12345.6", "12,346"),
        ("1e300", "1" + 100 * ",000"),
        ("nan", "nan"),
        ("no number", "no number"),
        (None, ""),
    ],
)
def test_a_loss_has_the_digits_that_matter(loss: str | None, read: str) -> None:
    assert figure(loss) == read if loss != "1e300" else figure(loss).startswith("1,000,")


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0, "0 s"),
        (34.4, "34 s"),
        (125, "2 min 5 s"),
        (60, "1 min"),
        (11520, "3 h 12 min"),
        (187200, "2 d 4 h"),
        (-3, "0 s"),
    ],
)
def test_a_time_span_is_told_by_its_two_largest_units(seconds: float, read: str) -> None:
    assert duration(seconds) == read


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (5, "5 s ago"),
        (150, "2 min ago"),
        (6000, "100 min ago"),
        (7200, "2 h ago"),
        (200000, "2 d ago"),
        (-60, "0 s ago"),
    ],
)
def test_a_moment_is_told_by_how_long_ago_it_was(seconds: float, read: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == read


def test_a_moment_that_is_not_known_is_not_told() -> None:
    assert age(None, NOW) == ""


@pytest.mark.parametrize(
    ("number", "read"),
    [(812, "812 B"), (1023, "1023 B"), (3_565_158, "3.4 MiB"), (1024**2 - 1, "1.0 MiB"), (5 * 1024**5, "5.0 PiB")],
)
def test_a_size_has_a_unit(number: int, read: str) -> None:
    assert size(number) == read


@pytest.mark.parametrize(
    ("cost", "read"), [("0.3583", "0.36 EUR"), ("1234.5", "1,234.50 EUR"), ("0.0012", "0.0012 EUR"), ("x", "x EUR")]
)
def test_money_has_two_decimals_or_as_many_as_it_needs(cost: str, read: str) -> None:
    assert money(cost, "EUR") == read


def test_shares_counts_and_bars() -> None:
    assert (share("0.956"), share("1"), share(None)) == ("95.6 %", "100 %", "")
    assert (counted(1, "row"), counted(28131, "token")) == ("1 row", "28,131 tokens")
    assert (bar(50, 4), bar(-5, 4), bar(500, 4)) == ("[##--]", "[----]", "[####]")
