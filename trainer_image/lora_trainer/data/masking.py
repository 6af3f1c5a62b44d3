"""Which tokens count for the loss: those that the assistant says, with the stop token, in every turn.

The whole conversation is rendered and tokenised once; pieces are never tokenised apart, which would change tokens at
their seams. Where an answer lies in the text is found by rendering whole prefixes: the text up to turn i with the
generation prompt must be a prefix of the text of the whole conversation, and so must the text up to and including
turn i, up to its stop token. What some templates write behind the stop token (a line break, an end-of-text token) is
no target: at inference it is never asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_trainer.data.chat_template import ChatTemplate
from lora_trainer.data.profile import Segment
from lora_trainer.data.rows import BadRow, Message

TokenIds = npt.NDArray[np.int32]
Targets = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rendered:
    """A conversation as text. `spans` are the characters that count, `prompt` is what its last answer answers."""

    text: str
    spans: tuple[tuple[int, int], ...]
    prompt: str
    reference: str


class TemplateChangesTurns(Exception):  # noqa: N818 - becomes a TrainerError with the place of the row
    """The template renders a turn differently once the conversation goes on."""


def render(template: ChatTemplate, messages: Sequence[Message], *, train_on_all: bool) -> Rendered:
    """Render one conversation and find its answers.

    Raises:
        BadRow: a text holds a special token.
        TemplateRefusal: the template raised an error.
        TemplateChangesTurns: the answers cannot be told apart.
    """
    _check_texts(template, messages)
    prompt = template.render(messages[:-1], generation_prompt=True)
    if template.marked:
        text, marks = template.render_marked(messages)
        spans = _marked_spans(template, messages, text, marks)
    else:
        text = template.render(messages)
        spans = _prefix_spans(template, messages, text, prompt)
    if train_on_all:
        spans = ((0, len(text)),)
    return Rendered(text, spans, prompt, messages[-1].content)


def _check_texts(template: ChatTemplate, messages: Sequence[Message]) -> None:
    if messages[0].role == "system" and not template.keeps_system:
        raise BadRow(f"has a system turn, but {template.no_system()}", "move its text into the first user turn")
    for number, message in enumerate(messages, start=1):
        found = template.special.search(message.content)
        if found is not None:
            raise BadRow(
                f"turn {number} ({message.role}) contains the special token {found[0]!r} of {template.model}",
                "remove it: the model would read it as the end or the start of a turn",
            )


def _prefix_spans(
    template: ChatTemplate, messages: Sequence[Message], text: str, last_prompt: str
) -> tuple[tuple[int, int], ...]:
    spans = []
    last = len(messages) - 1
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = last_prompt if index == last else template.render(messages[:index], generation_prompt=True)
        if not text.startswith(prompt):
            raise TemplateChangesTurns(_changed(template, index))
        start = len(prompt)
        end = _stop(template, text, start, message.content, index)
        if index != last and not template.render(messages[: index + 1]).startswith(text[:end]):
            raise TemplateChangesTurns(_changed(template, index))
        spans.append((start, end))
    return tuple(spans)


def _marked_spans(
    template: ChatTemplate, messages: Sequence[Message], text: str, marks: list[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """The template's own marks, each with its stop token, which may stand right behind the mark."""
    answers = sum(message.role == "assistant" for message in messages)
    if len(marks) < answers:
        raise TemplateChangesTurns(
            f"the chat template of {template.model} marks {len(marks)} of {answers} answers as generated"
        )
    spans = []
    for start, end in marks:
        has_stop = text[start:end].rstrip().endswith(template.special_tokens)
        stop = None if has_stop else template.special.match(text, end)
        spans.append((start, stop.end() if stop else end))
    return tuple(spans)


def _stop(template: ChatTemplate, text: str, start: int, content: str, index: int) -> int:
    """Where the answer that starts at `start` ends, its stop token included."""
    said = content.strip()
    found = text.find(said, start)
    if found < 0:
        raise TemplateChangesTurns(_changed(template, index))
    stop = template.special.search(text, found + len(said))
    if stop is None:
        raise TemplateChangesTurns(
            f"the chat template of {template.model} writes no stop token behind turn {index + 1},"
            " so the model would never learn to stop"
        )
    return stop.end()


def _changed(template: ChatTemplate, index: int) -> str:
    return (
        f"the chat template of {template.model} renders turn {index + 1} differently as the conversation goes on,"
        " so training would show other text than inference"
    )


@dataclass(frozen=True)
class Encoded:
    """A tokenised row: token ids and targets of equal length, and the length before it was cut."""

    input_ids: TokenIds
    targets: Targets
    full_length: int


def encode(template: ChatTemplate, rows: Sequence[Rendered], max_length: int) -> list[Encoded]:
    """Tokenise rows in one batch; the text holds every special token already, so none is added."""
    encodings = _tokenise(template, [row.text for row in rows])
    return [_encode(template, row, encoding, max_length) for row, encoding in zip(rows, encodings, strict=True)]


def _encode(template: ChatTemplate, row: Rendered, encoding: Any, max_length: int) -> Encoded:
    ids = np.array(encoding.ids, dtype=np.int32)
    targets = np.zeros(len(ids), dtype=np.bool_)
    for start, end in row.spans:
        first, last = _tokens(encoding, start, end)
        if first is None or last is None:
            continue
        if int(ids[first]) in template.special_ids and encoding.token_to_chars(first)[0] < start:
            first += 1  # a special token of the prompt that took in white space of the answer
        targets[first : last + 1] = True
    targets[:1] = False  # nothing predicts the first token
    return Encoded(ids[:max_length], targets[:max_length], len(ids))


def _tokens(encoding: Any, start: int, end: int) -> tuple[int | None, int | None]:
    """First and last token of a span of characters; characters that belong to no token are passed over."""
    first = last = None
    while start < end and (first := encoding.char_to_token(start)) is None:
        start += 1
    while end > start and (last := encoding.char_to_token(end - 1)) is None:
        end -= 1
    return first, last


def encode_prompts(template: ChatTemplate, rows: Sequence[Rendered]) -> list[list[int]]:
    """Token ids of the prompts of the last answers, tokenised the way inference does."""
    return [encoding.ids for encoding in _tokenise(template, [row.prompt for row in rows])]


def _tokenise(template: ChatTemplate, texts: Sequence[str]) -> list[Any]:
    """All texts in one call of the Rust library, which uses every core."""
    encodings: list[Any] = template.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    return encodings


def segments(template: ChatTemplate, row: Encoded) -> list[Segment]:
    """The row decoded in runs of equal target flag."""
    borders = [0, *(np.flatnonzero(np.diff(row.targets)) + 1).tolist(), len(row.targets)]
    return [
        Segment(text=template.tokenizer.decode(row.input_ids[start:end].tolist()), target=bool(row.targets[start]))
        for start, end in pairwise(borders)
        if start < end
    ]
