"""Tokenising texts in pieces that are cut at special tokens, so that a piece that comes again is tokenised once.

Rows repeat much of one another: the tools that all of them offer, a system turn, the earlier turns of a conversation
that gives several rows. The library takes special tokens out of a text before anything else, so what stands between
them has by itself the tokens that it has in the whole text. A text of a tokenizer for which that is not certain
(`_may_cut`) is one piece.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

TokenIds = npt.NDArray[np.int32]

#: Components of tokenizers that treat each piece by itself, with the settings that they must have for it.
_PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "ByteLevel": {"add_prefix_space": False},
    "Metaspace": {"prepend_scheme": "never"},
    "Split": {},
    "Digits": {},
    "Punctuation": {},
    "Whitespace": {},
    "WhitespaceSplit": {},
    "BertPreTokenizer": {},
}
_POST_PROCESSORS: dict[str, dict[str, Any]] = {"ByteLevel": {"trim_offsets": False}, "TemplateProcessing": {}}
#: Pieces of at most so many characters are remembered, and so many characters of them.
_LONGEST_KNOWN = 1 << 20
_MOST_KNOWN = 4 << 20
#: What remembering a piece takes beside its text, in characters.
_ENTRY = 256

#: A part of a text: its first character, its first token, all of its tokens, and what says which characters belong to
#: which token; None: that was not asked for.
_Part = tuple[int, int, TokenIds, Any]


class _OneToken:
    """The encoding of a piece that is one token."""

    def __init__(self, length: int) -> None:
        self._length = length

    def char_to_token(self, _: int) -> int:
        return 0

    def token_to_chars(self, _: int) -> tuple[int, int]:
        return 0, self._length


class Tokens:
    """The tokens of a text, and the characters that each stands for."""

    def __init__(self, backend: Any, text: str, parts: list[_Part]) -> None:
        self._backend = backend
        self._text = text
        self._parts = parts
        self.ids: TokenIds = parts[0][2] if len(parts) == 1 else np.concatenate([ids for _, _, ids, _ in parts])

    def char_to_token(self, char: int) -> int | None:
        """Find the token that a character belongs to; None: to none."""
        if char >= len(self._text):
            return None
        number = bisect_right(self._parts, char, key=itemgetter(0)) - 1
        start, first, _, _ = self._parts[number]
        found = self._encoding(number).char_to_token(char - start)
        return None if found is None else first + int(found)

    def token_to_chars(self, token: int) -> tuple[int, int]:
        """Find the characters of a token: from and up to."""
        number = bisect_right(self._parts, token, key=itemgetter(1)) - 1
        start, first, _, _ = self._parts[number]
        begin, end = self._encoding(number).token_to_chars(token - first)
        return start + begin, start + end

    def _encoding(self, number: int) -> Any:
        start, first, ids, encoding = self._parts[number]
        if encoding is None:
            end = self._parts[number + 1][0] if number + 1 < len(self._parts) else len(self._text)
            encoding = self._backend.encode(self._text[start:end], add_special_tokens=False)
            self._parts[number] = (start, first, ids, encoding)
        return encoding


class PieceTokenizer:
    """Tokenises texts that hold every special token already, so none is added. For use by one thread."""

    def __init__(self, backend: Any) -> None:
        """`backend` is a Tokenizer of the library tokenizers."""
        self._backend = backend
        added = backend.get_added_tokens_decoder()
        # What the library takes out of a text as it stands; the others are looked for in what is left.
        found = {token.content: number for number, token in added.items() if not token.normalized}
        taken_out = found if _may_cut(backend) else {}
        longest_first = sorted(taken_out, key=lambda text: (-len(text), text))
        self._borders = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        #: Tokens that take in no white space beside them.
        self._special = {
            text: (np.array([number], dtype=np.int32), _OneToken(len(text)))
            for text, number in taken_out.items()
            if not (added[number].lstrip or added[number].rstrip)
        }
        self._known: OrderedDict[str, TokenIds] = OrderedDict()
        self._known_characters = 0

    def tokenise(self, texts: Sequence[str], looked_at: Sequence[Collection[int]]) -> list[Tokens]:
        """Tokenise texts in one go, which uses every core; of each these characters will be looked at."""
        cut = [self._pieces(text) for text in texts]
        exact: dict[str, Any] = {}
        others: dict[str, None] = {}
        for pieces, characters in zip(cut, looked_at, strict=True):
            numbers = {bisect_right(pieces, character, key=itemgetter(0)) - 1 for character in characters}
            for number, (_, piece) in enumerate(pieces):
                if piece not in self._special:
                    (exact if number in numbers else others)[piece] = None
        exact.update(zip(exact, self._backend.encode_batch([*exact], add_special_tokens=False), strict=True))
        known = self._ids([*others])
        return [
            Tokens(self._backend, text, self._parts(pieces, exact, known))
            for text, pieces in zip(texts, cut, strict=True)
        ]

    def _pieces(self, text: str) -> list[tuple[int, str]]:
        """Cut a text before and behind each special token, and give the pieces with the characters they start at."""
        pieces, start = [], 0
        for border in self._borders.finditer(text):
            if border[0] in self._special:
                if start < border.start():
                    pieces.append((start, text[start : border.start()]))
                pieces.append((border.start(), border[0]))
                start = border.end()
        if start < len(text) or not pieces:
            pieces.append((start, text[start:]))
        return pieces

    def _ids(self, pieces: Sequence[str]) -> dict[str, TokenIds]:
        """Give the tokens of each piece, and remember them."""
        found = {piece: known for piece in pieces if (known := self._known.get(piece)) is not None}
        for piece in found:
            self._known.move_to_end(piece)
        new = [piece for piece in pieces if piece not in found]
        for piece, encoding in zip(new, self._backend.encode_batch_fast(new, add_special_tokens=False), strict=True):
            found[piece] = np.array(encoding.ids, dtype=np.int32)
            if len(piece) <= _LONGEST_KNOWN:
                self._known[piece] = found[piece]
                self._known_characters += _ENTRY + len(piece)
        while self._known_characters > _MOST_KNOWN:
            forgotten, _ = self._known.popitem(last=False)
            self._known_characters -= _ENTRY + len(forgotten)
        return found

    def _parts(
        self, pieces: Iterable[tuple[int, str]], exact: Mapping[str, Any], others: Mapping[str, TokenIds]
    ) -> list[_Part]:
        parts: list[_Part] = []
        first = 0
        encoding: Any
        for start, piece in pieces:
            if piece in self._special:
                ids, encoding = self._special[piece]
            elif (encoding := exact.get(piece)) is not None:
                ids = np.array(encoding.ids, dtype=np.int32)
            else:
                ids = others[piece]
            parts.append((start, first, ids, encoding))
            first += len(ids)
        return parts


def _may_cut(backend: Any) -> bool:
    """Tell whether all that the tokenizer does looks at one piece, and not at what stands before or behind it."""
    if backend.encode_special_tokens or getattr(backend.model, "dropout", None):
        return False
    if any(token.single_word for token in backend.get_added_tokens_decoder().values()):
        return False
    return _consists_of(backend.pre_tokenizer, _PRE_TOKENIZERS) and _consists_of(
        backend.post_processor, _POST_PROCESSORS
    )


def _consists_of(component: Any, known: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether a component of a tokenizer is one of those that are known, or a sequence of them."""
    if component is None:
        return True
    described = [json.loads(component.__getstate__())]
    while described:
        each = described.pop()
        if each["type"] == "Sequence":
            described += each.get("pretokenizers", []) + each.get("processors", [])
        elif each["type"] not in known or any(each.get(name) != value for name, value in known[each["type"]].items()):
            return False
    return True
