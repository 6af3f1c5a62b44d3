"""Templates render as transformers renders them, and reach nothing that its sandbox keeps from them."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from transformers.utils.chat_template_utils import render_jinja_template

from lora_trainer.data.conversations import conversation
from lora_trainer.data.conversations.tools import read
from lora_trainer.data.template import rendering
from lora_trainer.data.template.rendering import CompiledTemplate
from support.published_templates import CASES, names, source, template, tokenizer


class _Text(str):
    __slots__ = ()


OWNERS: dict[str, Any] = {
    "a text": "text {0}",
    "a text of another class": _Text("text"),
    "an object": {"role": "user", "items": 1, "format": 2, "_hidden": 3},
    "an array": [1, 2],
    "a number": 5,
    "nothing": None,
    "a namespace": Namespace(found=True, text="a", method="a".format, function=len, _hidden=1),
    "a class": dict,
    "a function": lambda: None,
}
ATTRIBUTES = sorted(
    {name for owner in ("", {}, [], 5, len, dict, lambda: None) for name in dir(owner)}
    | {"role", "found", "text", "method", "function", "_hidden", "mro", "missing", "gi_frame", "f_globals"}
)


def _outcome(found: Any) -> tuple[str, str]:
    """What a lookup gives, in a form in which two can be compared."""
    words = getattr(found, "_undefined_message", None) if type(found).__name__ == "Undefined" else repr(found)
    return type(found).__name__, str(words).partition(" at 0x")[0]


@pytest.mark.parametrize("owner", OWNERS)
def test_each_attribute_is_given_or_refused_as_the_sandbox_does(owner: str) -> None:
    sandbox = ImmutableSandboxedEnvironment()
    lookup = rendering._attributes(sandbox)

    for name in ATTRIBUTES:
        assert _outcome(lookup(OWNERS[owner], name)) == _outcome(sandbox.getattr(OWNERS[owner], name)), name


@pytest.mark.parametrize("name", names())
def test_a_published_template_renders_what_transformers_renders(name: str) -> None:
    for title, case in CASES.items():
        talk = conversation.check(case.messages, list(case.tools))
        turns, tools = template(name).turns(talk.messages), list(talk.tools.functions)
        given = {**tokenizer(name).special_tokens_map, "date_string": "26 Jul 2024"}
        compiled = CompiledTemplate(source(name), given)
        try:
            (expected,), _ = render_jinja_template([turns], tools=tools or None, chat_template=source(name), **given)
        except Exception as error:
            with pytest.raises(type(error)):
                compiled.render(turns, talk.tools, generation_prompt=False)
        else:
            assert compiled.render(turns, talk.tools, generation_prompt=False) == expected, title


def test_a_tool_is_written_as_json_as_each_place_of_the_template_asks() -> None:
    # The same tool with and without options, by itself, in part, and beside values that the template makes.
    source = (
        "{% for tool in tools %}{{ tool | tojson }}{{ tool | tojson(indent=2) }}{{ tool | tojson(none, 2) }}"
        "{{ tool.function | tojson(ensure_ascii=true) }}{{ tool.function.parameters | tojson }}"
        "{{ {'name': tool.function.name} | tojson(separators=(',', ':')) }}{{ [loop.index] | tojson }}{% endfor %}"
    )
    compiled = CompiledTemplate(source, {})

    for place in ("Zürich", "Rome", "Zürich"):
        schema = {"type": "object", "properties": {"b": {"enum": [place]}, "a": {}}}
        offered = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in ("see", "go")]
        tools = read(offered)
        want = render_jinja_template([[]], tools=list(tools.functions), chat_template=source)[0][0]
        assert [compiled.render([], tools, generation_prompt=False) for _ in range(2)] == [want] * 2
