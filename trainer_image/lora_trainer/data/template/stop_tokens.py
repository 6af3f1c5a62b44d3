"""The tokens that end answers in the rows, which evaluation and servers must stop at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lora_trainer.data.template.chat_template import ChatTemplate


class StopTokens:
    """Counts by which special token the last answer of each row ends."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._counts: Counter[str] = Counter()

    def add(self, text: str, prompt: str, spans: Sequence[tuple[int, int]]) -> None:
        """Look at a row: its text, what its last answer answers, and the characters that count.

        The characters of answers end with their stop token. Where all characters count, the answer ends at the first
        token that ends answers: what the template writes behind that is not part of it.
        """
        if spans[-1] == (0, len(text)):
            found = self._template.ends.search(text, len(prompt))
        else:
            found = max(self._template.special.finditer(text, len(prompt), spans[-1][1]), key=_end, default=None)
        if found is not None:
            self._counts[found[0]] += 1

    def ids(self) -> list[int]:
        """Give the ids of the tokens, the most frequent first."""
        tokens = [token for token, _ in self._counts.most_common()]
        ids: list[int] = self._template.tokenizer.convert_tokens_to_ids(tokens)
        return ids


def _end(found: re.Match[str]) -> int:
    return found.end()
