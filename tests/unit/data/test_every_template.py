"""Every published chat template trains exactly what is served: no token differs, nothing that a row says is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from lora_trainer.data.conversations import conversation
from lora_trainer.data.rows import BadRow
from lora_trainer.data.template import unrolling
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.template_refusal import TemplateRefusal
from lora_trainer.data.template.unrolling import AnswerNotFound
from support import template_table
from support.published_templates import CASES, LISTED_ENDS, Case, marked_source, names, template, tokenizer
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


#: Answers of a diffusion model begin behind the header of their turn, which it is not asked to write.
DIFFUSION = ("diffusion_gemma",)


@pytest.mark.parametrize("name", [name for name in names() if marked_source(name) and name not in DIFFUSION])
def test_what_counts_is_what_trl_marks_where_it_trains_on_what_is_served(name: str) -> None:
    compared = 0
    template(name).today = datetime.now(UTC).date()
    for title, case in CASES.items():
        try:
            talk = conversation.check(case.messages, list(case.tools))
            rows = list(unrolling.unroll(template(name), talk, "assistant"))
        except (BadRow, TemplateRefusal):
            continue
        texts, marks = render_jinja_template(
            [template(name).turns(talk.messages)],
            tools=list(case.tools) or None,
            chat_template=marked_source(name),
            return_assistant_tokens_mask=True,
            date_string="26 Jul 2024",
            **tokenizer(name).special_tokens_map,
        )
        if title == "weight 0" or [row.text for row in rows] != texts:
            continue  # TRL learns every answer, and from a text of its own where the template rewrites turns
        ours = {position for start, end in rows[0].spans for position in range(start, end)}
        theirs = {position for start, end in marks[0] for position in range(start, end)}
        assert ours <= theirs, title
        _check_more(name, texts[0], theirs - ours, rows[0].spans)
        compared += 1
    assert compared or name.startswith("deepseek")  # TRL trains it without the think block that its prompt opens


def _check_more(name: str, text: str, more: set[int], spans: Sequence[tuple[int, int]]) -> None:
    """TRL also marks the end of the prompt, and what the template writes behind the stop token: none is asked for."""
    for start, _ in spans:
        position = start - 1
        while position in more:
            more.discard(position)
            position -= 1
    rest = "".join(text[position] for position in sorted(more))
    assert not template(name).special.sub("", rest).strip()


def test_the_page_shows_what_was_seen() -> None:
    assert template_table.PAGE.read_text() == template_table.page(), "make docs-templates"
