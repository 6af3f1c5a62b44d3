"""Marks of turns within texts: rows that were written out for another chat template, and would be wrapped in a second.

Special tokens of the run's own model are refused where a text has them; those of other models are ordinary text to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lora_trainer.data.rows import Message

#: What is found in any text with a mark, found sooner than the marks themselves.
_HINTS = ("<|", "INST]", "<start_of_turn>", "### ", "Human:")
_MARKS = re.compile(
    r"<\|(?:im_start|im_end|eot_id|start_header_id|begin_of_text|end_of_text|endoftext|user|assistant|system|end)\|>"
    r"|\[/?INST\]|<start_of_turn>|(?:\A|\n)### (?:Human|Assistant|Instruction|Response):|(?:\A|\n\n)Human:"
)


def find(messages: Iterable[Message]) -> str | None:
    """Find the first mark in the texts of turns; None: there is none."""
    for message in messages:
        text = message.content
        if any(hint in text for hint in _HINTS) and (found := _MARKS.search(text)) is not None:
            return found[0].strip()
    return None
