"""The tables of docs/reasons.md, written from the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lora_contract.reasons import TABLES, Reason, ReasonFacts

_PLACE = re.compile(r"(<!-- generated: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """Fill the marked places of the page.

    Raises:
        ValueError: a table has no place in the page, or a place no table.
    """
    places = [match["name"] for match in _PLACE.finditer(page)]
    if places != list(TABLES):
        raise ValueError(f"the page has places for {places}, the tables are {list(TABLES)}")
    return _PLACE.sub(lambda match: match[1] + _table(TABLES[match["name"]].items()) + match[3], page)


def _table(rows: Iterable[tuple[Reason, ReasonFacts]]) -> str:
    with_consequence = any(row.consequence for _, row in rows)
    heads = ["Reason", "What it means", *(["Consequence"] if with_consequence else []), "What to do"]
    lines = [heads]
    for reason, row in rows:
        middle = [row.consequence] if with_consequence else []
        lines.append([f"`{reason}`", row.meaning, *middle, row.advice])
    rows_of_text = ["| " + " | ".join(cells) + " |\n" for cells in lines]
    return "".join([*rows_of_text[:1], "|---" * len(heads) + "|\n", *rows_of_text[1:]])
