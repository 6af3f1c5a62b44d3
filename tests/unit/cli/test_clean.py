"""Words from outside move no cursor, colour nothing and turn no writing round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_cli.clean import clean, cleaned, one_line


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x1b", "a"),
        ("\x1b(Bplain", "plain"),
        ("12 %\r50 %\r100 %", "100 %"),
        ("old\rnew\r", "new "),
        ("first\nold\rnew", "first\nnew"),
        ("line\r\nline", "line\nline"),
        ("a\tb", "a    b"),
        ("left\u202eright", "left right"),
        ("Grüße, 東京", "Grüße, 東京"),
    ],
)
def test_only_what_can_be_read_stays(text: str, left: str) -> None:
    assert clean(text) == left


@given(st.text())
def test_nothing_that_is_not_printable_stays(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in clean(text))
    assert one_line(text).isprintable()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["x", "\r", "x\r", "\x1b[", "\x1b]", "\x9b0", "\x1b[0 "])
def test_a_megabyte_on_one_line_takes_no_longer_than_it_must(piece: str) -> None:
    assert len(clean(piece * (1_000_000 // len(piece)))) <= 1_000_000


def test_all_of_an_object_is_cleaned() -> None:
    assert cleaned({"a\x1b[1m": ["\x1b[2Jb", 3, None]}) == {"a": ["b", 3, None]}
