"""Every reason has one row, and docs/reasons.md is made from the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.reasons import REASONS, TABLES, Reason
from lora_contract.reasons.page import with_tables

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"


def test_every_reason_has_exactly_one_row() -> None:
    rows = [reason for table in TABLES.values() for reason in table]
    assert sorted(rows) == sorted(Reason)


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page) == page


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="places for"):
        with_tables("# Reasons\n")


@pytest.mark.parametrize("reason", Reason)
def test_what_is_said_of_a_reason_is_a_sentence(reason: Reason) -> None:
    row = REASONS[reason]
    for text in filter(None, (row.meaning, row.consequence, row.advice, row.remedy)):
        assert text[0].isupper() or text.startswith("`")
        assert text.endswith(".")
