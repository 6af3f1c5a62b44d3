"""The rules of a conversation that can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lora_trainer.data.json_values import json_type
from lora_trainer.data.rows import BadRow, Message, Role

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_TOOL_ROLES = frozenset({"tool", "function", "ipython"})


def check(turns: Sequence[Any]) -> tuple[Message, ...]:
    """The turns of one row as messages: at most one system turn, first; then user and assistant in turn.

    Raises:
        BadRow: naming the turn, counted from 1, and what is wrong with it.
    """
    if not turns:
        raise BadRow("has no turns")
    messages = tuple(_message(turn, number) for number, turn in enumerate(turns, start=1))
    if all(message.role != "assistant" for message in messages):
        raise BadRow("has no assistant turn, so there is nothing to learn")
    first = 1 if messages[0].role == "system" else 0
    for index in range(first, len(messages)):
        expected = "user" if (index - first) % 2 == 0 else "assistant"
        if messages[index].role != expected:
            raise BadRow(
                f"turn {index + 1} is {messages[index].role}, expected {expected}:"
                " user and assistant take turns, after one system turn at most"
            )
    if messages[-1].role != "assistant":
        raise BadRow("ends with a user turn; the last turn must be the assistant's")
    return messages


def _message(turn: Any, number: int) -> Message:
    if not isinstance(turn, dict):
        raise BadRow(f"turn {number} is {json_type(turn)}, expected an object with role and content")
    role, content = turn.get("role"), turn.get("content")
    if "role" not in turn or "content" not in turn:
        missing = "role" if "role" not in turn else "content"
        raise BadRow(f"turn {number} has no {missing}; its keys are {', '.join(map(str, list(turn)[:20]))}")
    if not isinstance(role, str):
        raise BadRow(f"turn {number}: role is {json_type(role)}, expected a text")
    if role in _TOOL_ROLES or turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow(f"turn {number} calls or answers a tool; tool turns are not supported, leave such rows out")
    if role not in _ROLES:
        raise BadRow(f"turn {number} has the unknown role {role[:40]!r}; roles are system, user and assistant")
    if not isinstance(content, str):
        raise BadRow(f"turn {number}: content is {json_type(content)}, expected a text")
    if not content.strip():
        raise BadRow(f"turn {number} ({role}) is empty")
    if "\0" in content:
        raise BadRow(f"turn {number} ({role}) contains a NUL character")
    return Message(_ROLES[role], content)
