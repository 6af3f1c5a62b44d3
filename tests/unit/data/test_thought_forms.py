"""What an answer says is told from what it thinks, in the form in which each published chat template writes both."""

from __future__ import annotations

import pytest

from lora_trainer.data.conversations import conversation
from lora_trainer.data.rows import BadRow
from lora_trainer.data.template import tool_call_form, unrolling
from lora_trainer.data.template.unrolling import Rendered
from lora_trainer.data.thought import ThoughtForm, behind_thought, said
from lora_trainer.data.tool_calls.reading import read
from support.published_templates import CASES, Case, names, template

THOUGHT, ANSWER = "Two and two make four.", "It is four."
CALL = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}


def rows_of(name: str, case: Case) -> list[Rendered]:
    """The rows that a conversation becomes; none where the template would leave something of it out."""
    talk = conversation.check(list(case.messages), list(case.tools) or None)
    try:
        return list(unrolling.unroll(template(name), talk, "assistant"))
    except BadRow:
        return []


def generated(row: Rendered) -> str:
    """The last answer of a row as the model generates it, with its special tokens."""
    start, end = row.spans[-1]
    return row.text[start:end]


def said_by(name: str, answer: str) -> str:
    return said(template(name).thought, answer, template(name).special)


@pytest.mark.parametrize("name", names())
def test_an_answer_of_every_template_is_compared_without_its_thought_and_marks(name: str) -> None:
    for title in ("one turn", "two turns", "reasoning", "reasoning in two turns"):
        for row in rows_of(name, CASES[title]):
            assert said_by(name, generated(row)) == row.reference, title
            assert THOUGHT not in row.reference


@pytest.mark.parametrize("name", names())
def test_the_calls_of_every_template_are_compared_without_the_thought_before_them(name: str) -> None:
    thinking = {"role": "assistant", "content": "", "reasoning_content": THOUGHT, "tool_calls": [CALL]}
    weather = CASES["tools"]
    for row in rows_of(name, Case((weather.messages[0], thinking), weather.tools)):
        assert said_by(name, generated(row)) == row.reference
        assert "Oslo" in row.reference
        assert THOUGHT not in row.reference


@pytest.mark.parametrize("name", [name for name in names() if rows_of(name, CASES["reasoning"])])
def test_an_answer_that_does_not_get_beyond_its_thought_says_nothing(name: str) -> None:
    row = rows_of(name, CASES["reasoning"])[-1]
    cut = generated(row).partition(THOUGHT)[0] + "Two and two"

    # DeepSeek and others open the thought in the prompt: nothing but its missing end shows that it goes on.
    assert said_by(name, cut) == ""


@pytest.mark.parametrize("name", ["gptoss", "muse_glimmer", "gemma4_v5", "qwen3", "glm4moe"])
def test_a_call_that_is_only_thought_of_is_not_read(name: str) -> None:
    form = tool_call_form.find(template(name))
    assert form is not None
    weather = CASES["tools"]
    calling = next(row for row in rows_of(name, Case(weather.messages[:2], weather.tools)))
    call = generated(calling)
    idea = behind_thought(template(name).thought, call).strip()
    thinking = generated(rows_of(name, CASES["reasoning"])[-1])

    assert len(read(form, call).calls) == 1
    assert read(form, thinking.replace(THOUGHT, idea.partition("<|call|>")[0])) == ((), 0)


def test_the_final_channel_of_gpt_oss_is_what_it_says() -> None:
    final = '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{"a": 1}<|return|>'
    preamble = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait.<|end|>"
        '<|start|>assistant<|channel|>final<|message|>{"a": 1}'
    )

    assert said_by("gptoss", final) == '{"a": 1}'
    assert said_by("gptoss", preamble) == '{"a": 1}'
    assert said_by("gptoss", '<|channel|>final<|message|>{"a": 1}') == '{"a": 1}'


def test_a_template_that_shows_no_reasoning_is_read_as_most_models_think() -> None:
    special = template("qwen2_5").special

    for answer in ("<think>\n\n</think>\n\nyes", "Hm.\n</think>\n\nyes", "yes", " yes<|im_end|>\n"):
        assert said(ThoughtForm(), answer, special) == "yes"
