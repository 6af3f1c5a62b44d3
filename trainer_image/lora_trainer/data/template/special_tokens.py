"""The special tokens of a tokenizer as texts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast


def special_tokens(tokenizer: PreTrainedTokenizerFast) -> set[str]:
    """Give the special tokens that rows may not hold, and that readers of an answer do not see."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return added | set(tokenizer.all_special_tokens)


def any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """Make the pattern that finds one of these tokens in a text, the longest that is there."""
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
