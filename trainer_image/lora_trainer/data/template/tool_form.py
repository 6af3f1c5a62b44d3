"""How a chat template shows tools: found out once a model, with calls whose words are looked for in the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_trainer.data.rows import CallForm, Message, ToolCall, Toolset
from lora_trainer.data.template.template_refusal import TemplateRefusal

_NAME, _VALUES, _RESULTS = "tool_of_the_probe", ("first value", "second value"), ("first result", "second result")
_PARAMETERS = {"type": "object", "properties": {"place": {"type": "string", "description": "Where"}}}
TOOLS = Toolset(({"type": "function", "function": {"name": _NAME, "description": "Looks", "parameters": _PARAMETERS}},))
_QUESTION = Message("user", "first question")
_CALLS = tuple(ToolCall(_NAME, {"place": value}, f"call0000{n}") for n, value in enumerate(_VALUES))
_ANSWERS = tuple(Message("tool", text, tool_call_id=f"call0000{n}") for n, text in enumerate(_RESULTS))
#: A question, a call, and its result.
PROBE = (_QUESTION, Message("assistant", "", tool_calls=_CALLS[:1]), _ANSWERS[0])
_PARALLEL = (_QUESTION, Message("assistant", "", tool_calls=_CALLS), *_ANSWERS)
#: Templates differ in whether a turn that only calls has no content or an empty one, and in the type of arguments.
_FORMS = tuple(CallForm(content, as_text) for as_text in (False, True) for content in ("", None))

#: Renders turns with tools, in a form of the calls.
Renders = Callable[[Sequence[Message], Toolset, CallForm], str]


@dataclass(frozen=True)
class ToolSupport:
    """What a template shows of tools, and the form in which it wants calls."""

    form: CallForm
    offered: bool
    calls: bool
    #: Several calls in one turn.
    parallel: bool
    results: bool


def find(render: Renders) -> ToolSupport:
    """Find out what a template shows of tools, and in which form it wants calls."""
    offered = _holds(render, PROBE[:1], CallForm(), (_NAME,))
    form = next((form for form in _FORMS if _holds(render, PROBE[:2], form, (_NAME, *_VALUES[:1]))), None)
    if form is None:
        return ToolSupport(CallForm(), offered=offered, calls=False, parallel=False, results=False)
    return ToolSupport(
        form,
        offered=offered,
        calls=True,
        parallel=_holds(render, _PARALLEL, form, (*_VALUES, *_RESULTS)),
        results=_holds(render, PROBE, form, _RESULTS[:1]),
    )


def _holds(render: Renders, turns: Sequence[Message], form: CallForm, words: Sequence[str]) -> bool:
    try:
        text = render(turns, TOOLS, form)
    except TemplateRefusal:
        return False
    # A template that writes None, or JSON within JSON, wants another form.
    return all(word in text for word in words) and "None" not in text and '\\"place' not in text
