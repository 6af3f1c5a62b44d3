"""Rows that are no conversations: documents, of which every token is learned, and rows that are tokenised already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_contract import spec_paths
from lora_trainer.data.composed import composed
from lora_trainer.data.json_values import json_type
from lora_trainer.data.profile import Turn
from lora_trainer.data.rows import BadRow
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.masking import Encoded, Targets
from lora_trainer.data.template.pieces import TokenIds
from lora_trainer.errors import unsupported

INPUT_IDS, LABELS, ATTENTION_MASK = "input_ids", "labels", "attention_mask"
#: Columns in which TRL says which tokens count.
_OTHER_MARKS = ("completion_mask", "assistant_masks")
#: The label of a token that does not count, as transformers has it.
_NO_TARGET = -100
_LONGEST_SAMPLE = 2000


@dataclass(frozen=True)
class Document:
    """A text that is learned whole; `key` is equal for texts that differ in white space alone."""

    text: str
    key: bytes

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.text)


@dataclass(frozen=True)
class TokenRow:
    """A row of token ids, with which of them count."""

    input_ids: TokenIds
    targets: Targets
    key: bytes

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.input_ids)


def read_document(row: Mapping[str, Any], column: str, template: ChatTemplate) -> Document | None:
    """Read the document in a row; None: it is empty, as the lines between the paragraphs of a file often are.

    Raises:
        BadRow: there is none, or it holds a special token.
    """
    text = _column(row, column)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadRow(f"column {column!r} is {json_type(text)}, expected a text")
    if not text.strip():
        return None
    if "\0" in text:
        raise BadRow(f"column {column!r} contains a NUL character")
    found = template.special.search(text)
    if found is not None:
        raise BadRow(
            f"column {column!r} contains the special token {found[0]!r} of {template.model}",
            "remove it: each document ends with the end-of-text token by itself",
        )
    try:
        normal = " ".join(composed(text).split()).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is not a character") from error
    return Document(text, hashlib.blake2b(normal, digest_size=16).digest())


def read_tokens(row: Mapping[str, Any], vocabulary: int) -> TokenRow:
    """Read the tokens in a row: `input_ids`, with `labels` and `attention_mask` where they are there.

    A token whose label is -100 does not count; without labels every token does. `vocabulary` is the number of tokens
    that the model knows.

    Raises:
        BadRow: the columns do not fit each other or the vocabulary.
    """
    ids = _integers(row, INPUT_IDS)
    if not len(ids):
        raise BadRow(f"column {INPUT_IDS!r} is empty")
    wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary))
    if len(wrong):
        raise BadRow(
            f"{INPUT_IDS} holds {ids[wrong[0]]} at position {wrong[0]}, but the tokens of the model are 0 to"
            f" {vocabulary - 1}",
            "tokenise the rows with the tokenizer of spec.model",
        )
    other_marks = next((name for name in _OTHER_MARKS if row.get(name) is not None), None)
    if other_marks is not None:
        raise BadRow(
            f"says in {other_marks} which tokens count, which is not read",
            f"write {LABELS}, with {_NO_TARGET} where a token does not count;"
            f" or set dataset.ignoreKeys: [{other_marks}] where all count that {LABELS} do not leave out",
        )
    labels = _integers(row, LABELS) if row.get(LABELS) is not None else ids
    mask = _integers(row, ATTENTION_MASK) if row.get(ATTENTION_MASK) is not None else np.ones_like(ids)
    for name, values in ((LABELS, labels), (ATTENTION_MASK, mask)):
        if len(values) != len(ids):
            raise BadRow(f"column {name!r} and {INPUT_IDS} differ in length: {len(values)} and {len(ids)}")
    other = np.flatnonzero((labels != _NO_TARGET) & (labels != ids))
    if len(other):
        raise BadRow(
            f"{LABELS} holds {labels[other[0]]} at position {other[0]}, where {INPUT_IDS} has {ids[other[0]]}",
            f"write the same token, or {_NO_TARGET} where it does not count; they are shifted in training",
        )
    kept = _without_padding(mask)
    tokens, targets = ids[kept].astype(np.int32), labels[kept] != _NO_TARGET
    targets[:1] = False  # nothing predicts the first token
    if not targets.any():
        raise BadRow(f"has no token that counts: all of {LABELS} are {_NO_TARGET}, the first token left aside")
    key = hashlib.blake2b(tokens.tobytes() + targets.tobytes(), digest_size=16).digest()
    return TokenRow(tokens, targets, key)


def _without_padding(mask: np.ndarray[Any, np.dtype[np.int64]]) -> slice:
    """Find the tokens that the mask keeps: all but padding at the ends of the row."""
    wrong = mask[(mask != 0) & (mask != 1)]
    if len(wrong):
        raise BadRow(f"{ATTENTION_MASK} holds {wrong[0]}, expected 0 or 1")
    seen = np.flatnonzero(mask)
    if not len(seen):
        raise BadRow(f"{ATTENTION_MASK} leaves out every token")
    start, end = int(seen[0]), int(seen[-1]) + 1
    if not mask[start:end].all():
        raise BadRow(f"{ATTENTION_MASK} leaves out tokens in the middle of the row; only padding at its ends may be")
    return slice(start, end)


def _column(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise BadRow(f"has no column {name!r}; its columns are {', '.join(list(row)[:20])}")
    return row[name]


def _integers(row: Mapping[str, Any], name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    values = _column(row, name)
    if not isinstance(values, list):
        raise BadRow(f"column {name!r} is {json_type(values)}, expected a list of whole numbers")
    wrong = next((value for value in values if type(value) is not int or abs(value) >= 1 << 31), None)
    if wrong is not None or None in values:
        raise BadRow(f"column {name!r} holds {str(wrong)[:40]}, expected whole numbers")
    return np.array(values, dtype=np.int64)


def tokenise_documents(template: ChatTemplate, texts: Sequence[str]) -> list[Encoded]:
    """Tokenise documents whole; all tokens count. One begins as the tokenizer begins a text, and ends with end-of-text.

    Raises:
        TrainerError: 78, the tokenizer has no end-of-text token.
    """
    tokenizer = template.tokenizer
    if tokenizer.eos_token_id is None:
        raise unsupported(
            f"the tokenizer of {template.model} has no end-of-text token (eos_token), which ends each document",
            param=spec_paths.MODEL_ID,
            hint="set eos_token in tokenizer_config.json",
        )
    begin = [token for token in tokenizer("")["input_ids"] if token == tokenizer.bos_token_id]
    encodings = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [_all_count(np.array([*begin, *e.ids, tokenizer.eos_token_id], dtype=np.int32)) for e in encodings]


def _all_count(ids: TokenIds) -> Encoded:
    targets = np.ones(len(ids), dtype=np.bool_)
    targets[:1] = False  # nothing predicts the first token
    return Encoded(ids, targets, len(ids))


def rows_of_document(ids: TokenIds, max_length: int) -> list[Encoded]:
    """Cut a document into rows of at most `max_length` tokens.

    Each row begins with the last token of the row before, so that every token is predicted once and none is lost.
    """
    rows = []
    for start in range(0, max(len(ids) - 1, 1), max_length - 1):
        rows.append(_all_count(ids[start : start + max_length]))
    return rows


def encode_tokens(row: TokenRow, max_length: int) -> Encoded:
    """Cut the row at `max_length` tokens."""
    return Encoded(row.input_ids[:max_length], row.targets[:max_length], len(row.input_ids))


def continuation(template: ChatTemplate, row: Encoded) -> tuple[list[int], str]:
    """Tell what tokens a held-out row asks the model to go on from, and by what text it goes on in truth.

    The last run of tokens that count is asked for; of a row in which all count, its second half.
    """
    counting = np.flatnonzero(row.targets)
    gaps = np.flatnonzero(np.diff(counting) > 1)
    start = int(counting[gaps[-1] + 1]) if len(gaps) else int(counting[0])
    end = int(counting[-1]) + 1
    if start <= 1:
        start = max(1, end // 2)
    reference = template.tokenizer.decode(row.input_ids[start:end].tolist(), skip_special_tokens=True)
    return row.input_ids[:start].tolist(), reference


def sample(template: ChatTemplate, row: Document | TokenRow) -> list[Turn]:
    """Make a sample of a row for the report."""
    text = (
        row.text if isinstance(row, Document) else template.tokenizer.decode(row.input_ids[:_LONGEST_SAMPLE].tolist())
    )
    return [Turn(role="text", content=text[:_LONGEST_SAMPLE])]
