"""Every published chat template trains exactly what is served: no token differs, nothing that a row says is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from lora_trainer.data.masking import Encoded
from lora_trainer.data.rows import BadRow
from lora_trainer.data.template_refusal import TemplateRefusal
from lora_trainer.data.unrolling import AnswerNotFound
from support import template_table
from support.published_templates import CASES, LISTED_ENDS, Case, names, template, tokenizer
from support.template_table import rows_of

#: What every template takes.
PLAIN = ("one turn", "two turns", "weight 0")


def _rows(name: str, case: Case) -> list[Encoded] | None:
    """The rows that the conversation becomes; None: it is refused."""
    try:
        return rows_of(name, case)
    except (BadRow, TemplateRefusal, AnswerNotFound):
        return None


def _served(name: str, case: Case, index: int) -> list[int]:
    """The token ids that a server gives to the model to ask for turn `index`."""
    messages = [{key: value for key, value in turn.items() if key != "weight"} for turn in case.messages[:index]]
    found = tokenizer(name).apply_chat_template(
        messages,
        tools=list(case.tools) or None,
        add_generation_prompt=True,
        date_string="26 Jul 2024",
        return_dict=False,
    )
    return list(found)


def _answers(row: Encoded) -> list[tuple[int, int]]:
    """First index of each run of targets, and the one behind it."""
    borders = [index for index, (a, b) in enumerate(pairwise([False, *row.targets, False])) if a != b]
    return list(zip(borders[::2], borders[1::2], strict=True))


def _said(turn: dict[str, Any]) -> list[str]:
    """Everything that must be in the tokens of an answer, in this order."""
    calls = [call["function"] for call in turn.get("tool_calls", [])]
    words = [word for call in calls for word in (call["name"], *call["arguments"].values())]
    return [text for text in (turn.get("reasoning_content"), turn["content"], *words) if text]


@pytest.mark.parametrize("name", names())
def test_each_answer_stands_behind_what_the_server_is_asked_and_nothing_is_lost(name: str) -> None:
    template(name).today = datetime.now(UTC).date()
    for title, case in CASES.items():
        rows = _rows(name, case)
        if rows is None:  # which are refused, and in which words, stands in docs/templates.md
            assert title not in PLAIN
            continue
        found = [(row, start, end) for row in rows for start, end in _answers(row)]
        assert len(found) == len(case.trained), title
        for (row, start, end), index in zip(found, case.trained, strict=True):
            assert row.input_ids[:start].tolist() == _served(name, case, index), title
            _check_answer(name, row.input_ids[start:end].tolist(), case.messages[index])
        text = "".join(tokenizer(name).decode(row.input_ids) for row in rows)
        others = [turn["content"] for turn in case.messages if turn["role"] != "assistant"]
        assert all(words in text for words in others), title
        assert all(tool["function"]["description"] in text for tool in case.tools), title


def _check_answer(name: str, tokens: list[int], turn: dict[str, Any]) -> None:
    """Everything that the turn says, in its order, and then a token that ends answers."""
    answer = tokenizer(name).decode(tokens)
    position = 0
    for words in _said(turn):
        position = answer.index(words, position) + len(words)
    stop = tokenizer(name).convert_ids_to_tokens(tokens[-1])
    assert stop in (LISTED_ENDS.get(name) or tokenizer(name).all_special_tokens)


def test_the_page_shows_what_was_seen() -> None:
    assert template_table.PAGE.read_text() == template_table.page(), "make docs-templates"
