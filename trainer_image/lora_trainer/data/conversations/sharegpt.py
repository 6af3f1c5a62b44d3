"""Conversations as ShareGPT files have them: turns with `from` and `value`, read as `role` and `content`.

The names of speakers are those of the files that people have, and those that LLaMA-Factory documents (data/README.md):
`function_call` holds a call as JSON text, `observation` its result.
"""

from __future__ import annotations

from typing import Any

from lora_trainer.data.json_values import DECODER, json_type, why_not
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
    """Tell whether a turn is in this form."""
    return isinstance(turn, dict) and SPEAKER in turn and TEXT in turn and turn.get("role") is None


def as_message(turn: dict[str, Any], number: int) -> dict[str, Any]:
    """Turn `number` with role and content; other keys stay as they are.

    Raises:
        BadRow: it is a call that cannot be read, or says something in two forms.
    """
    speaker, text = turn[SPEAKER], turn[TEXT]
    others = {key: value for key, value in turn.items() if key not in (SPEAKER, TEXT)}
    made = ("content", "tool_calls") if speaker == _CALL else ("content",)
    twice = next((key for key in made if others.get(key) not in (None, "", [], text)), None)
    if twice is not None:
        raise BadRow(f"turn {number} has {TEXT} and {twice}, of which one would be dropped; keep one of them")
    if speaker == _CALL:
        return {**others, "role": "assistant", "content": "", "tool_calls": _calls(text, number)}
    role = _ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return {**others, "role": role, "content": text}


def _calls(text: Any, number: int) -> list[dict[str, Any]]:
    value = text
    if isinstance(text, str):
        try:
            value = DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            problem = f"turn {number} ({_CALL}): value is not JSON of a name and arguments: {why_not(error)}"
            raise BadRow(problem) from error
    calls = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict):
            raise BadRow(f"turn {number} ({_CALL}): value is {json_type(call)}, expected an object: name, arguments")
    return [{"type": "function", "function": call} for call in calls]
