"""Calls are read back from answers in the form in which each published chat template writes them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_trainer.data.conversations import conversation
from lora_trainer.data.rows import BadRow, ToolCall
from lora_trainer.data.template import tool_call_form, unrolling
from lora_trainer.data.tool_calls.equality import same_call
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.data.tool_calls.reading import MOST_CALLS, MOST_CHARACTERS, Found, read
from support import chat_templates
from support.published_templates import CASES, names, template

#: Templates that show tools and calls.
WITH_TOOLS = [name for name in names() if template(name).tools.offered and template(name).tools.calls]
#: Arguments that every one of them writes without loss.
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"city": "Oslo"},
    {"city": "Rue 'X' 5"},
    {"city": 'the "Old" town, north; {of} [it] <all>'},
    {"city": "two\nlines", "days": 3, "far": -0.5, "warm": True, "cold": False},
    {"city": "30", "tags": ["a", "b"], "more": {"deep": {"er": [1, 2]}}},
    {"city": "Zürich 東京 🌧"},
]
MISTRAL = (
    "{%- if tools %}{{ '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{%- for m in messages %}{%- if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
    "{%- elif m.tool_calls %}{{ '[TOOL_CALLS] [' }}{%- for c in m.tool_calls %}"
    "{{ ', ' if not loop.first }}{{ '{\"name\": \"' + c.function.name + '\", \"arguments\": ' }}"
    "{{ c.function.arguments | tojson + ', \"id\": \"' + c.id + '\"}' }}{%- endfor %}{{ ']<|im_end|>' }}"
    "{%- elif m.role == 'tool' %}{{ '[TOOL_RESULTS] ' + m.content + '[/TOOL_RESULTS]' }}"
    "{%- else %}{{ ' ' + m.content + '<|im_end|>' }}{%- endif %}{%- endfor %}"
)
HERMES = ToolCallForm(
    kind="call", open="<tool_call>\n", close="\n</tool_call>", name_key="name", arguments_key="arguments"
)
CODER = ToolCallForm(
    kind="parameters",
    open="<tool_call>\n<function=",
    close=">\n</function>\n</tool_call>",
    notation="text",
    parameter_open=">\n<parameter=",
    parameter_mid=">\n",
    parameter_close="\n</parameter",
)
GEMMA = ToolCallForm(
    kind="arguments", open="<|tool_call>call:", close="<tool_call|>", notation="literal", quote='<|"|>'
)
LFM = ToolCallForm(
    kind="parameters",
    open="<|tool_call_start|>[",
    next=", ",
    close=")",
    behind_name="(",
    notation="literal",
    parameter_mid="=",
    parameter_next=", ",
)
LLAMA = ToolCallForm(kind="call", open="", name_key="name", arguments_key="parameters")
FORMS = {"hermes": HERMES, "coder": CODER, "gemma": GEMMA, "lfm": LFM, "llama": LLAMA}
OSLO = ToolCall("get_weather", {"city": "Oslo"})


def said_of(name: str, *calls: ToolCall, content: str = "") -> str:
    """An answer with these calls as a row of this template trains it, stop token included."""
    made = [
        {"id": f"call0000{n}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for n, call in enumerate(calls)
    ]
    turns = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": content, "tool_calls": made}]
    parameters = {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}}
    function = {"name": "get_weather", "description": "Tells the weather", "parameters": parameters}
    (row,) = unrolling.unroll(
        template(name), conversation.check(turns, [{"type": "function", "function": function}]), "assistant"
    )
    assert row.tool_calls is not None
    return row.text[len(row.prompt) :]


def form_of(name: str) -> ToolCallForm:
    """The form that was found."""
    form = tool_call_form.find(template(name))
    assert form is not None
    return form


def assert_read(found: Found, *wanted: ToolCall) -> None:
    """Just these calls were read."""
    assert found.unreadable == 0
    assert len(found.calls) == len(wanted), found
    for given_call, call in zip(found.calls, wanted, strict=True):
        assert same_call(given_call, call), (given_call, call)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_are_read_back_from_the_answers_that_are_trained(name: str) -> None:
    form = form_of(name)
    for arguments in ARGUMENTS:
        if name.startswith("lfm2") and "'" in str(arguments.get("city")):
            continue  # this template puts texts between single quotes as they are: nobody can tell where they end
        call = ToolCall("get_weather", arguments)
        assert_read(read(form, said_of(name, call)), call)
    if template(name).tools.parallel:
        calls = (ToolCall("get_weather", {"city": "Oslo"}), ToolCall("get_weather", {"city": "Rome"}), OSLO)
        assert_read(read(form, said_of(name, *calls)), *calls)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_the_calls_of_a_row_are_those_of_its_last_answer(name: str) -> None:
    form = form_of(name)
    for title, case in CASES.items():
        try:
            rows = list(
                unrolling.unroll(template(name), conversation.check(case.messages, list(case.tools)), "assistant")
            )
        except BadRow:
            continue
        for row in rows:
            assert (row.tool_calls is None) == (not case.tools), title
            assert_read(read(form, row.text[row.spans[-1][0] :]), *(row.tool_calls or ()))


def test_a_text_in_front_of_calls_is_passed_over() -> None:
    form = form_of("qwen2_5")

    assert_read(read(form, said_of("qwen2_5", OSLO, content="I look.")), OSLO)
    assert_read(
        read(form, "Sure?\n<tool_call>\n" + '{"arguments":{"city":"Oslo"},"name":"get_weather"}</tool_call>'), OSLO
    )
    assert_read(read(form, "<think>\n<tool_call> or not?\n</think>\n\nIt rains."))


def test_a_list_of_calls_as_mistral_writes_it_is_read() -> None:
    made = chat_templates.template(MISTRAL)
    made.check()
    form = tool_call_form.find(made)

    assert form is not None
    rome = ToolCall("get_weather", {"city": "Rome"})
    text = '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "call00001"}'
    assert_read(read(form, f"{text}]"), OSLO)
    assert_read(read(form, f'{text}, {{"name": "get_weather", "arguments": {{"city": "Rome"}}}}]'), OSLO, rome)


def test_a_form_that_drops_names_of_arguments_is_not_known() -> None:
    made = chat_templates.template(
        "{% if tools %}{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.tool_calls %}"
        "{% for c in m.tool_calls %}{{ c.function.name + ' ' + c.function.arguments.values() | list | tojson }}"
        "{% endfor %}{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    made.check()
    assert made.tools.calls
    assert tool_call_form.find(made) is None


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Os',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": ["Oslo"]}\n</tool_call>',
        '<tool_call>\n{"name": 7, "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "a", "name": "b", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "a", "arguments": {"n": NaN}}\n</tool_call>',
        "<tool_call>\n{'name': 'get_weather', 'arguments': {}}\n</tool_call>",
        "<tool_call>",
    ],
)
def test_a_call_that_is_begun_and_cannot_be_parsed_is_counted(text: str) -> None:
    assert read(HERMES, text) == Found((), 1)
    good = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert read(HERMES, f"{text}\n{good}") == Found((OSLO,), 1)


def test_an_answer_that_is_one_call_is_told_from_json_and_text() -> None:
    assert_read(read(LLAMA, '{"name": "get_weather", "parameters": {"city": "Oslo"}}'), OSLO)
    assert read(LLAMA, '{"name": "get_weather", "parameters": {"city": "Os') == Found((), 1)
    assert read(LLAMA, '{"age": 3}') == Found()
    assert read(LLAMA, 'Say {"name": "x"}') == Found()


BOMBS = {
    "nested objects": '{"name": "a", "arguments": ' + '{"a":' * 12_000,
    "nested arrays": '{"name": "a", "arguments": {"a": ' + "[" * 50_000,
    "spaces": " " * 60_000,
    "quotes": "\"'" * 30_000,
    "escapes": "'" + "\\" * 60_000,
    "digits": "9" * 60_000,
    "brackets": "([{" * 20_000,
    "commas": "a=1, " * 12_000,
    "parameters": "x>\n" + "<parameter=a>\n" * 4_000,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_answers_cost_little_and_raise_nothing(bomb: str, form: str) -> None:
    opened = FORMS[form].open
    began = time.process_time()
    for text in (
        opened + BOMBS[bomb],
        (opened + BOMBS[bomb][:500]) * 60,
        opened + 'f{a:{a:["' + BOMBS[bomb],
        opened + "f(a={'a':" + BOMBS[bomb],
        opened * (60_000 // max(len(opened), 1)) if opened else BOMBS[bomb],
    ):
        found = read(FORMS[form], text)
        assert len(found.calls) + found.unreadable <= MOST_CALLS + 1
    assert time.process_time() - began < 5


def test_an_answer_beyond_all_bounds_counts_as_one_that_cannot_be_read() -> None:
    assert read(HERMES, "x" * (MOST_CHARACTERS + 1)) == Found((), 1)


@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                "[",
                "]",
                "(",
                ")",
                ",",
                ":",
                "=",
                '"',
                "'",
                "\\",
                "u12",
                "a",
                "1",
                "-",
                ".",
                "e",
                " ",
                "\n",
                "<tool_call>",
                "</tool_call>",
                "<function=f>",
                "</function>",
                "<parameter=a>",
                "</parameter>",
                "call:f",
                "<|tool_call>",
                "<tool_call|>",
                '<|"|>',
                "<|tool_call_start|>[",
                '"name"',
                '"arguments"',
                "None",
                "</think>",
            ]
        ),
        max_size=40,
    ),
)
def test_no_answer_raises(name: str, parts: list[str]) -> None:
    form = FORMS[name]
    for text in ("".join(parts), form.open + "".join(parts)):
        found = read(form, text)
        assert all(isinstance(call.arguments, dict) for call in found.calls)
