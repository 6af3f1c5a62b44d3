"""Finding out how a chat template writes what an answer thinks, with words that are looked for in the text."""

from __future__ import annotations

from collections.abc import Callable

from lora_trainer.data.rows import Message, ToolCall
from lora_trainer.data.thought import ThoughtForm

_THOUGHT, _CONTENT = "thought of the probe", "words of the probe"
_CALLS = (ToolCall("tool_of_the_probe", {"place": "first value"}, "call00000"),)

#: Renders what an answer adds to its prompt; None: the template does not write it there.
Said = Callable[[Message], str | None]


def find(said: Said) -> ThoughtForm:
    """Find the form in which a template writes the thought of an answer."""
    plain = said(Message("assistant", _CONTENT))
    thinking = said(Message("assistant", _CONTENT, reasoning=_THOUGHT))
    around = None if thinking is None else _around(thinking, _CONTENT)
    if around is None:
        return _of_calls(said)
    begin, between = around
    head = "" if plain is None else plain.partition(_CONTENT)[0].strip()
    # Where a template writes the same in front of all that is said (gpt-oss: a channel), the thought ends before that.
    # Where it closes a thought that its prompt has opened, that is all there is.
    content = head if head != between and between.endswith(head) else ""
    return ThoughtForm(
        open=begin, close=between.removesuffix(content).strip() or between, content=content, opened=not begin
    )


def _of_calls(said: Said) -> ThoughtForm:
    """Find it where the template shows what is thought before calls alone (Gemma 4)."""
    plain = said(Message("assistant", "", tool_calls=_CALLS))
    thinking = said(Message("assistant", "", reasoning=_THOUGHT, tool_calls=_CALLS))
    around = None if not plain or thinking is None else _around(thinking, plain.strip())
    return ThoughtForm() if around is None else ThoughtForm(open=around[0], close=around[1], opened=not around[0])


def _around(text: str, content: str) -> tuple[str, str] | None:
    """Give what stands in front of the thought, and between it and the content; None: the text lacks one of both."""
    begin, found, rest = text.partition(_THOUGHT)
    between, behind, _ = rest.partition(content)
    return (begin.strip(), between.strip()) if found and behind and between.strip() else None
