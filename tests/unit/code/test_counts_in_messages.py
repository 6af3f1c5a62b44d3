"""A message that counts things says "1 row" and "2 rows": the count comes from `lora_contract.counts`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
ROOTS = ("operator", "trainer_image")
#: What messages count, and words that stand between the number and it.
PLURALS = (
    "answers attempts bytes calls characters columns conversations digits elements examples experts files GPUs hours"
    " images items keys layers lines messages minutes nodes objects parameters patterns pods positions processes"
    " replicas retries rows runs samples seconds sources steps targets times tokens trials turns values warnings"
)
BETWEEN = "bad empty good more other repeated test these training validation"
_COUNTED_THINGS = re.compile(
    rf"\s(?:(?:{BETWEEN.replace(' ', '|')}) )*(?:{PLURALS.replace(' ', '|')})\b(?! a | again| on average|/)"
)
#: A limit is a constant, none of which is 1.
_LIMIT = re.compile(r"_?[A-Z][A-Z_]+")


def offences(source: str) -> Iterator[str]:
    """The places of a source where a bare number stands before a plural, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, behind in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(behind, ast.Constant):
                continue
            if _is_no_count(value) or _COUNTED_THINGS.match(str(behind.value)) is None:
                continue
            yield f"line {value.lineno}: {{{ast.unparse(value.value)}}}{str(behind.value)[:30]}"


def _is_no_count(value: ast.FormattedValue) -> bool:
    """Whether a value cannot be 1: a limit, or a ratio with digits behind the point."""
    form = ast.unparse(value.format_spec) if value.format_spec is not None else ""
    number = value.value
    while isinstance(number, ast.BinOp):
        number = number.left
    return (
        re.search(r"[.]\d+f", form) is not None or _LIMIT.fullmatch(ast.unparse(number).rpartition(".")[2]) is not None
    )


@pytest.mark.parametrize("root", ROOTS)
def test_no_message_counts_one_as_many(root: str) -> None:
    paths = sorted((REPOSITORY / root).rglob("*.py"))
    assert paths, f"{root} holds no Python"
    found = [f"{path.relative_to(REPOSITORY)}, {each}" for path in paths for each in offences(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize("source", ['f"{n} rows"', 'f"has {len(x)} bad rows"', 'f"{a.b:,} training files"'])
def test_the_check_finds(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    ["f\"{counted(n, 'row')}\"", 'f"at most {_MOST_ROWS} rows"', 'f"{a:.2f} times that"', 'f"{name} holds {n}"'],
)
def test_the_check_leaves(source: str) -> None:
    assert not list(offences(source))
