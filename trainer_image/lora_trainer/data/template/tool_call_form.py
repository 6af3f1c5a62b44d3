"""Finding out in which form a chat template writes calls, with calls whose words are looked for in the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lora_trainer.data.rows import Message, ToolCall
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.template_refusal import TemplateRefusal
from lora_trainer.data.thought import behind_thought
from lora_trainer.data.tool_calls.equality import equal, same_call
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.data.tool_calls.literals import LiteralError, read_json, read_literal
from lora_trainer.data.tool_calls.reading import read

_QUOTATION_MARKS = ('"', "'")
_FIRST = ToolCall("probe_one", {"alpha_key": "first_value", "beta_key": "second_value"}, "probe0001")
_SECOND = ToolCall("probe_two", {"gamma_key": "third_value", "kappa_key": "fourth_value"}, "probe0002")
#: What has to be read back as it was written before a form is trusted.
_PROOFS = (
    ToolCall(
        "probe_three",
        {"calm": True, "more": {"key": "b"}, "people": 4, "place": 'the "Old" town', "rate": 1.5, "tags": ["a", "b"]},
        "probe0003",
    ),
    ToolCall("probe_four", {"calm": False, "text": "12"}, "probe0004"),
    ToolCall("probe_five", {}, "probe0005"),
)
_CONTENT = "I look for it."


class _Seen(NamedTuple):
    """One call in a text: the form as far as it shows it, where it begins, and where its arguments end."""

    form: ToolCallForm
    begin: int
    end: int


def find(template: ChatTemplate) -> ToolCallForm | None:
    """Find the form in which a template writes calls; None: what it writes cannot be read back."""
    if not template.tools.calls:
        return None
    text = _written(template, [_FIRST])
    seen = None if text is None else _look(text, _FIRST)
    if text is None or seen is None:
        return None
    opened = text[: seen.begin].rpartition(_FIRST.name)[2].lstrip()  # some name the tool twice
    form = _with_marks(seen.form, opened, text[seen.end :], _between(template) if template.tools.parallel else None)
    return form.model_copy(update={"thought": template.thought}) if _proven(form, template) else None


def _with_marks(form: ToolCallForm, opened: str, rest: str, between: str | None) -> ToolCallForm:
    """Add what stands around calls to a form: `rest` behind the last of them, `between` two."""
    if between is None:
        return form.model_copy(update={"open": opened, "close": rest})
    shared = _common_suffix(opened, between)
    close = _common_prefix(between.removesuffix(shared), rest)
    following = None if shared == opened else between[len(close) :]
    return form.model_copy(update={"open": opened, "close": close, "next": following})


def _written(template: ChatTemplate, calls: Sequence[ToolCall], content: str = "") -> str | None:
    """Render an answer with these calls, without what is thought in front of it and without its stop token.

    None: the template does not write all of it.
    """
    answer = Message("assistant", content, tool_calls=tuple(calls))
    said = template.said(answer)
    if said is None or content not in said or not all(call.name in said for call in calls):
        return None
    end = max(said.rindex(call.name) for call in calls)
    try:
        stop = template.stop(said, end, calls=True)
    except TemplateRefusal:
        return None
    if stop is None:
        return None
    text = said[:end] + stop
    tokens = (found.start() for every in (template.ends, template.special) for found in every.finditer(text, end))
    return behind_thought(template.thought, text[: max(tokens, default=len(text))]).strip()


def _look(text: str, call: ToolCall) -> _Seen | None:
    """Find a call in a text, whatever form it has there."""
    return _whole(text, call) or _object(text, call) or _one_by_one(text, call)


def _whole(text: str, call: ToolCall) -> _Seen | None:
    """Look for a call that is one JSON object, with name and arguments among its values."""
    at = text.rfind("{", 0, text.find(call.name))
    if at < 0:
        return None
    value, end = _json(text, at)
    if not isinstance(value, dict):
        return None
    name = next((key for key, item in value.items() if item == call.name), None)
    arguments = next((key for key, item in value.items() if _is_arguments(item, call)), None)
    if name is None or arguments is None:
        return None
    return _Seen(ToolCallForm(kind="call", open="", name_key=name, arguments_key=arguments), at, end)


def _is_arguments(value: Any, call: ToolCall) -> bool:
    return equal(_json(value, 0)[0] if isinstance(value, str) else value, call.arguments)


def _json(text: str, at: int) -> tuple[Any, int]:
    try:
        return read_json(text, at)
    except LiteralError:
        return None, at


def _object(text: str, call: ToolCall) -> _Seen | None:
    """Look for a name, and all arguments in one object behind it."""
    at = text.find("{", text.find(call.name))
    if at < 0:
        return None
    value, end = _json(text, at)
    form = ToolCallForm(kind="arguments", open="")
    if value is None:
        key, first = next(iter(call.arguments.items()))
        quote = text.partition(key)[2].partition(first)[0].strip(" \n:'\"") or None
        form = form.model_copy(update={"notation": "literal", "quote": quote})
        try:
            value, end = read_literal(text, at, quote)
        except LiteralError:
            return None
    if not equal(value, call.arguments):
        return None
    name = text.rfind(call.name, 0, at)
    return _Seen(form.model_copy(update={"behind_name": text[name + len(call.name) : at]}), name, end)


def _one_by_one(text: str, call: ToolCall) -> _Seen | None:
    """Look for a name, and each argument with what stands around it."""
    words = [word for pair in call.arguments.items() for word in pair]
    begins = [text.find(word) for word in words]
    if -1 in begins or begins != sorted(begins):
        return None
    name = text.rfind(call.name, 0, begins[0])
    ends = [name + len(call.name), *(begin + len(word) for begin, word in zip(begins, words, strict=True))]
    head, mid, between, _ = (text[end:begin] for end, begin in zip(ends, begins, strict=False))
    behind = text[ends[-1] :]
    quoted = mid[-1:] in _QUOTATION_MARKS and between.startswith(mid[-1]) and behind.startswith(mid[-1])
    if quoted:
        mid, between, behind = mid[:-1], between[1:], behind[1:]
    opened = _common_suffix(head, between)
    between = between.removesuffix(opened)
    closed = _common_prefix(between, behind)
    if name < 0 or not mid.strip() or not (quoted or closed.strip()):
        return None
    form = ToolCallForm(
        kind="parameters",
        open="",
        notation="literal" if quoted else "text",
        behind_name=head.removesuffix(opened),
        parameter_open=opened,
        parameter_mid=mid,
        parameter_close=closed,
        parameter_next=between[len(closed) :],
    )
    return _Seen(form, name, len(text) - len(behind) + len(closed))


def _between(template: ChatTemplate) -> str | None:
    """Render what stands between two calls of a turn."""
    text = _written(template, [_FIRST, _SECOND])
    first, second = (None, None) if text is None else (_look(text, _FIRST), _look(text, _SECOND))
    if text is None or first is None or second is None:
        return None
    return text[first.end : second.begin]


def _common_prefix(a: str, b: str) -> str:
    length = next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:length]


def _common_suffix(a: str, b: str) -> str:
    return _common_prefix(a[::-1], b[::-1])[::-1]


def _proven(form: ToolCallForm, template: ChatTemplate) -> bool:
    """Tell whether calls with every kind of value are read back as they were written, and none where there is none."""
    turns = [([call], "") for call in _PROOFS]
    if template.tools.parallel:
        turns.append((list(_PROOFS), ""))
    turns.append(([_PROOFS[0]], _CONTENT))
    for calls, content in turns:
        text = _written(template, calls, content)
        if text is None and content:
            continue  # rows with both are refused
        found = None if text is None else read(form, text)
        if found is None or found.unreadable or len(found.calls) != len(calls):
            return False
        if not all(same_call(given, wanted) for given, wanted in zip(found.calls, calls, strict=True)):
            return False
    return read(form, _CONTENT) == ((), 0)
