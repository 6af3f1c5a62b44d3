"""Where an answer begins and ends in the text of a conversation; about texts alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from lora_trainer.data.rows import Message

_OPEN, _CLOSE = "<think>", "</think>"
_OPENED = re.compile(rf"{_OPEN}\s*\Z")
_TAGS = re.compile(f"{_OPEN}|{_CLOSE}")


def continuation(prompt: str, whole: str, message: Message) -> str | None:
    """Find what the answer `message` adds to what the server asks (`prompt`); None: `whole` does not go on from there.

    `whole` is the conversation with the answer as the template renders it. Templates of reasoning models may open a
    think block in the prompt and then render an answer with another block or without one: then the answer first
    closes the block that was opened, behind the reasoning that it has.
    """
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    opened = _OPENED.search(prompt)
    if opened is None or not whole.startswith(prompt[: opened.start()]):
        return None
    rest = whole[opened.start() :]
    if rest.startswith(_OPEN):
        return rest.removeprefix(_OPEN).lstrip()
    thought = thought_of(message)
    if thought and not message.reasoning:  # the template left out the block, not the line breaks behind it
        rest = rest.lstrip("\n")
    return f"{thought}\n{_CLOSE}\n\n{rest}" if thought else f"{_CLOSE}\n\n{rest}"


def thought_of(message: Message) -> str:
    """Find the reasoning of an answer: given apart, or as a think block at the beginning of its content."""
    if message.reasoning or _CLOSE not in message.content:
        return message.reasoning.strip()
    return message.content.partition(_CLOSE)[0].strip().removeprefix(_OPEN).strip()


def pieces(message: Message) -> Iterator[tuple[str, str]]:
    """Yield what an answer consists of, in the order in which it is said, each with the key that it stands under."""
    if message.reasoning.strip():
        yield "reasoning_content", message.reasoning.strip()
    for part in _TAGS.split(message.content):
        if part.strip():
            yield "content", part.strip()
    for call in message.tool_calls:
        yield "tool_calls", call.name


def thinks_nothing(prompt: str, said: str) -> bool:
    """Tell whether an answer begins with a think block that is empty, opened by its prompt or by itself."""
    opened = "" if _OPENED.search(prompt) else _OPEN
    start = said.lstrip()
    return start.startswith(opened) and start.removeprefix(opened).lstrip().startswith(_CLOSE)


def closes_thought(prompt: str) -> bool:
    """Tell whether the text ends with a think block that is closed."""
    return prompt.rstrip().endswith(_CLOSE)


def end_of_stop(text: str, end: int, special: re.Pattern[str], ends: Collection[str]) -> int | None:
    """Find where the stop token behind character `end` of a text ends; None: there is none.

    It is the first special token; or, where that does not end answers (`ends`), the first that does in the unbroken
    run of special tokens that it begins: Cohere's templates close the response, then the turn.
    """
    first = found = special.search(text, end)
    while found is not None and found[0] not in ends:
        found = special.match(text, found.end())
    stop = found or first
    return stop.end() if stop is not None else None
