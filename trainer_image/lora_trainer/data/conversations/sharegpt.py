"""Conversations as ShareGPT files have them: turns with `from` and `value`, read as `role` and `content`.

The names of speakers are those of the files that people have, and those that LLaMA-Factory documents (data/README.md):
`function_call` holds a call as JSON text, `observation` its result.
"""

from __future__ import annotations

import json
from typing import Any

from lora_trainer.data.json_values import DECODER, json_type
from lora_trainer.data.rows import BadRow

SPEAKER, TEXT = "from", "value"
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
_CALL = "function_call"


def is_turn(turn: Any) -> bool:
    """Whether a turn is in this form."""
    return isinstance(turn, dict) and SPEAKER in turn and TEXT in turn and "role" not in turn


def as_message(turn: dict[str, Any], number: int) -> dict[str, Any]:
    """Turn `number` with role and content; other keys stay as they are.

    Raises:
        BadRow: it is a call that cannot be read.
    """
    speaker, text = turn[SPEAKER], turn[TEXT]
    others = {key: value for key, value in turn.items() if key not in (SPEAKER, TEXT)}
    if speaker == _CALL:
        return {**others, "role": "assistant", "content": "", "tool_calls": _calls(text, number)}
    role = _ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return {**others, "role": role, "content": text}


def _calls(text: Any, number: int) -> list[dict[str, Any]]:
    value = text
    if isinstance(text, str):
        try:
            value = DECODER.decode(text)
        except (json.JSONDecodeError, ValueError, RecursionError) as error:
            raise BadRow(f"turn {number} ({_CALL}): value is not JSON: expected a name and arguments") from error
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict):
            raise BadRow(f"turn {number} ({_CALL}): value is {json_type(call)}, expected an object: name, arguments")
    return [{"type": "function", "function": call} for call in calls]
