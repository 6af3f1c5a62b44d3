"""Which tokens count for the loss: those of the answers that count, each with its stop token.

A row is tokenised as a whole; pieces tokenised apart would have other tokens at their seams. One seam is kept: where
a token would reach from the prompt of the last answer into the answer (two line breaks), server and model meet there,
so the row is tokenised up to it and from it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lora_trainer.data.profile import Segment
from lora_trainer.data.template import seams
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.pieces import TokenIds, Tokens
from lora_trainer.data.template.unrolling import Rendered

Targets = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """A tokenised row: token ids and targets of equal length, and the length before it was cut.

    `weights`, of the same length, say how much the loss of each target counts; None: each counts 1.
    """

    input_ids: TokenIds
    targets: Targets
    full_length: int
    weights: Weights | None = None


def encode(template: ChatTemplate, rows: Sequence[Rendered], max_length: int) -> list[Encoded]:
    """Tokenise rows in one batch; the text holds every special token already, so none is added."""
    tokenised = template.pieces.tokenise([row.text for row in rows], [_looked_at(row) for row in rows])
    pieces = [_pieces(template, row, tokens) for row, tokens in zip(rows, tokenised, strict=True)]
    return [_encode(template, row, encoded, max_length) for row, encoded in zip(rows, pieces, strict=True)]


def _looked_at(row: Rendered) -> list[int]:
    """List the characters whose tokens decide what counts: the seam, and the ends of the spans."""
    return [len(row.prompt), *(character for start, end in row.spans for character in (start, end - 1))]


def _pieces(template: ChatTemplate, row: Rendered, tokens: Tokens) -> list[tuple[int, Tokens]]:
    """Give the tokens that a row is made of, each with the character where they start: once, or twice with a seam."""
    seam = len(row.prompt)
    if seam >= len(row.text) or not seams.is_crossed(template, tokens, seam):
        return [(0, tokens)]
    spans = [(start - seam, end - 1 - seam) for start, end in row.spans if start >= seam]
    before, after = template.pieces.tokenise(
        [row.text[:seam], row.text[seam:]], [_looked_at(row)[1:], [at for span in spans for at in span]]
    )
    if template.tokenizer.decode(after.ids.tolist()) != row.text[seam:]:
        return [(0, tokens)]  # tokenizers that begin each text with a space cannot begin one here
    return [(0, before), (seam, after)]


def _encode(template: ChatTemplate, row: Rendered, pieces: Sequence[tuple[int, Tokens]], max_length: int) -> Encoded:
    numbers = [piece.ids for _, piece in pieces]
    ids = numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
    targets = np.zeros(len(ids), dtype=np.bool_)
    weights = np.zeros(len(ids), dtype=np.float32) if row.weights else None
    offset = 0
    for (begin, piece), tokens in zip(pieces, numbers, strict=True):
        for number, (start, end) in enumerate(row.spans):
            first, last = _tokens(piece, max(start - begin, 0), end - begin)
            if first is None or last is None:
                continue
            if piece.token_to_chars(first)[0] < start - begin and int(tokens[first]) in template.special_ids:
                first += 1  # a special token of the prompt that took in white space of the answer
            targets[offset + first : offset + last + 1] = True
            if weights is not None:
                weights[offset + first : offset + last + 1] = row.weights[number]
        offset += len(tokens)
    targets[:1] = False  # nothing predicts the first token
    encoded = Encoded(ids[:max_length], targets[:max_length], len(ids))
    if weights is None or (weights[:max_length][encoded.targets] == 1).all():
        return encoded
    return replace(encoded, weights=weights[:max_length])


def _tokens(encoding: Tokens, start: int, end: int) -> tuple[int | None, int | None]:
    """Find first and last token of a span of characters; characters that belong to no token are passed over."""
    first = last = None
    while start < end and (first := encoding.char_to_token(start)) is None:
        start += 1
    while end > start and (last := encoding.char_to_token(end - 1)) is None:
        end -= 1
    return first, last


def encode_prompts(template: ChatTemplate, rows: Sequence[Rendered]) -> list[list[int]]:
    """Tokenise the prompts of the last answers the way inference does."""
    nowhere: list[list[int]] = [[] for _ in rows]
    return [tokens.ids.tolist() for tokens in template.pieces.tokenise([row.prompt for row in rows], nowhere)]


def segments(template: ChatTemplate, row: Encoded) -> list[Segment]:
    """Decode the row in runs of equal target flag and weight."""
    weights = row.targets.astype(np.float32) if row.weights is None else row.weights * row.targets
    borders = [0, *(np.flatnonzero(np.diff(weights)) + 1).tolist(), len(weights)]
    return [
        Segment(
            text=template.tokenizer.decode(row.input_ids[start:end].tolist()),
            target=bool(row.targets[start]),
            weight=round(float(weights[start]), 4) if 0 < weights[start] < 1 else None,
        )
        for start, end in pairwise(borders)
        if start < end
    ]
