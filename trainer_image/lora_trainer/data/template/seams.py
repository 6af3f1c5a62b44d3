"""Where prompt and answer meet: whether tokenising both as one text would make one token of their ends.

A server tokenises the prompt alone, and the model goes on behind its last token.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lora_trainer.data.template.chat_template import ChatTemplate

#: Characters on either side of a seam that are tokenised to look at it.
_WINDOW = 32


def is_crossed(template: ChatTemplate, encoding: Any, seam: int) -> bool:
    """Tell whether a token of an encoded text reaches across the character `seam`.

    A special token that takes in the white space behind it does not count: it is the prompt's in either case.
    """
    token = encoding.char_to_token(seam)
    if token is None or encoding.token_to_chars(token)[0] >= seam:
        return False
    return int(encoding.ids[token]) not in template.special_ids


def crosses(template: ChatTemplate, text: str, seam: int) -> bool:
    """Tell the same of a text that is not encoded yet; only what is around the seam is encoded."""
    start = max(0, seam - _WINDOW)
    return _crosses(template, text[start : seam + _WINDOW], seam - start)


@lru_cache(maxsize=4096)
def _crosses(template: ChatTemplate, part: str, seam: int) -> bool:
    """Look at a part of a text, or remember: what stands around seams is much the same in all rows."""
    encoding = template.tokenizer.backend_tokenizer.encode(part, add_special_tokens=False)
    return is_crossed(template, encoding, seam)
