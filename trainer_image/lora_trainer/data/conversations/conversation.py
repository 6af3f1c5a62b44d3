"""The rules of a conversation that can be trained on. Whatever a row says is kept or refused, never dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_trainer.data.conversations import calls_in_text, tools
from lora_trainer.data.json_values import json_type
from lora_trainer.data.rows import BadRow, Conversation, LeftOut, Message, Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
}
#: What is meant by other words for roles, in small letters.
_MEANT: dict[str, Role] = {
    **_ROLES,
    **dict.fromkeys(("human", "prompter", "customer"), "user"),
    **dict.fromkeys(("ai", "bot", "chatbot", "gpt", "model", "agent"), "assistant"),
}
_INSTRUCTIONS = ("system", "developer")
#: Names under which files give the reasoning in front of an answer.
_REASONING = ("reasoning_content", "reasoning", "thinking")
#: Keys of a turn that are understood, by the roles that may have them.
_OF_EVERY_TURN = frozenset({"role", "content", "name", "weight", "train"})
#: All that most turns have.
_PLAIN = frozenset({"role", "content"})
_OF_ANSWERS = frozenset({*_REASONING, "tool_calls", "function_call"})
_OF_RESULTS = frozenset({"tool_call_id"})
_LONGEST_KEY = 100
#: Less than this is rounding in the losses of other answers.
LEAST_WEIGHT = 0.001
_WEIGHT_HINT = (
    "write 1 for an answer to learn, 0 for one not to learn and a fraction for one to learn less; or set"
    " dataset.ignoreKeys: [weight]"
)


def check(turns: Sequence[Any], offered: Any = None) -> Conversation:
    """Make a conversation of the turns of one row and the tools that it offers, both as they stand in the file.

    Raises:
        BadRow: naming the turn, counted from 1, and what is wrong with it.
    """
    if not turns:
        raise BadRow("has no turns")
    messages = tuple(_message(turn, number) for number, turn in enumerate(turns, start=1))
    _check_order(messages)
    conversation = Conversation(messages, tools.read(offered))
    calls_in_text.refuse(conversation)
    tools.check_calls(conversation)
    return conversation


def _check_order(messages: Sequence[Message]) -> None:
    if all(message.role != "assistant" for message in messages):
        raise BadRow("has no assistant turn, so there is nothing to learn", "add the answer, or leave the row out")
    first = 1 if messages[0].role in _INSTRUCTIONS else 0
    before = ""
    for number, message in enumerate(messages[first:], start=first + 1):
        if message.role in _INSTRUCTIONS or (not before and message.role != "user"):
            expected = "assistant" if before == "user" else "user"
            raise BadRow(
                f"turn {number} is {message.role}, expected {expected}:"
                " one system turn at most stands first, and the user speaks before the assistant",
                "put the turns into that order, or leave out what stands before the first question",
            )
        before = message.role
    if messages[-1].role != "assistant":
        raise BadRow(
            f"ends with a {messages[-1].role} turn; the last turn must be the assistant's",
            "add the answer to it, or remove the turns behind the last answer",
        )
    if all(message.left_out for message in messages if message.role == "assistant"):
        raise BadRow("has no answer that counts: each has weight 0 or train false", "leave the row out")


def _message(turn: Any, number: int) -> Message:
    if not isinstance(turn, dict):
        raise BadRow(f"turn {number} is {json_type(turn)}, expected an object with role and content")
    given = {key: value for key, value in turn.items() if not _says_nothing(value)}
    role = _role(turn, given, number)
    calls = _calls(given, number) if role == "assistant" else ()
    content = _content(turn, role, number, needed=not calls)
    if given.keys() <= _PLAIN:
        return Message(role, content)
    _check_keys(given, role, number)
    left_out, weight = _left_out_and_weight(given, role, number)
    return Message(
        role,
        content,
        reasoning=_reasoning(given, number),
        name=_text(given, "name", number),
        tool_calls=calls,
        tool_call_id=_text(given, "tool_call_id", number),
        left_out=left_out,
        weight=weight,
    )


def _says_nothing(value: Any) -> bool:
    """Tell whether a key with this value is as good as absent: Arrow writes null for every key that another row has."""
    return value is None or value in ("", [], {})


def _role(turn: Mapping[str, Any], given: Mapping[str, Any], number: int) -> Role:
    if "role" not in turn or ("content" not in turn and not given.keys() & {"tool_calls", "function_call"}):
        missing = "role" if "role" not in turn else "content"
        raise BadRow(f"turn {number} has no {missing}; its keys are {', '.join(map(str, list(turn)[:20]))}")
    role = turn["role"]
    if not isinstance(role, str):
        raise BadRow(f"turn {number}: role is {json_type(role)}, expected a text")
    if role not in _ROLES:
        roles = "system, developer, user, assistant and tool"
        meant = _MEANT.get(role.strip().lower())
        hint = f"write the role {meant}" if meant is not None else None
        raise BadRow(f"turn {number} has the unknown role {role[:40]!r}; roles are {roles}", hint)
    return _ROLES[role]


def _content(turn: Mapping[str, Any], role: Role, number: int, *, needed: bool) -> str:
    content = turn.get("content")
    if content is None and not needed:
        return ""
    if not isinstance(content, str):
        hint = "write the text; only an answer that calls tools may have none" if content is None else None
        if role == "tool" and isinstance(content, dict):
            hint = "write the result as JSON text, as a server gives it to the model"
        raise BadRow(f"turn {number}: content is {json_type(content)}, expected a text", hint)
    if not content.strip() and needed and role in ("user", "assistant"):
        raise BadRow(f"turn {number} ({role}) is empty", "write what is said, or leave the row out")
    return _clean(content, f"turn {number} ({role})")


def _clean(text: str, where: str) -> str:
    if "\0" in text:
        raise BadRow(f"{where} contains a NUL character", "remove it: texts have none, so the file may be damaged")
    return text


def _text(given: Mapping[str, Any], key: str, number: int) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise BadRow(f"turn {number}: {key} is {json_type(value)}, expected a text")
    return _clean(value, f"turn {number}: {key}")


def _reasoning(given: Mapping[str, Any], number: int) -> str:
    texts = {key: _text(given, key, number) for key in _REASONING if key in given}
    if len(set(texts.values())) > 1:
        raise BadRow(
            f"turn {number} has {' and '.join(texts)} with different texts, which mean the same",
            "keep one of them, or name the other in dataset.ignoreKeys",
        )
    return next(iter(texts.values()), "")


def _calls(given: Mapping[str, Any], number: int) -> tuple[Any, ...]:
    """Read the calls of a turn; files of before 2024 have one, as `function_call`."""
    if "function_call" in given and "tool_calls" in given:
        raise BadRow(f"turn {number} has function_call and tool_calls; keep tool_calls")
    if "function_call" in given:
        return tools.calls([{"function": given["function_call"]}], number)
    return tools.calls(given.get("tool_calls", []), number)


def _check_keys(given: Mapping[str, Any], role: Role, number: int) -> None:
    known = _OF_EVERY_TURN | (_OF_ANSWERS if role == "assistant" else frozenset())
    known |= _OF_RESULTS if role == "tool" else frozenset()
    unknown = [str(key)[:_LONGEST_KEY] for key in given if key not in known]
    if unknown:
        keys = ", ".join(unknown[:20])
        raise BadRow(
            f"turn {number} ({role}) has {'the key' if len(unknown) == 1 else 'the keys'} {keys},"
            " which would be dropped: what it means is not known",
            f"if it means nothing for training, set dataset.ignoreKeys: [{keys}]; or remove it",
        )


def _left_out_and_weight(given: Mapping[str, Any], role: Role, number: int) -> tuple[LeftOut | None, float]:
    """Read from `weight` (0 to 1) and `train` (true or false) why the turn does not count, or how much it does."""
    weight, train = _weight(given.get("weight", 1), number), given.get("train", True)
    if not isinstance(train, bool):
        hint = "write true or false without quotation marks"
        raise BadRow(f"turn {number}: train is {json_type(train)}, expected true or false", hint)
    if role != "assistant":
        if given.get("weight") or given.get("train"):
            raise BadRow(
                f"turn {number} ({role}) is to be learned by its weight or train; only answers can be",
                "remove weight and train from it, or set training.trainOn: all to learn whole conversations",
            )
        return None, 1.0
    if {"weight", "train"} <= given.keys() and bool(weight) != train:
        raise BadRow(
            f"turn {number} has weight {weight:g} and train {str(train).lower()}, which contradict each other",
            "keep one of them, or name the other in dataset.ignoreKeys",
        )
    if weight == 0:
        return "weight", 1.0
    return (None if train else "train"), weight


def _weight(value: Any, number: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"turn {number}: weight is {json_type(value)}, expected a number from 0 to 1", _WEIGHT_HINT)
    if not 0 <= value <= 1:
        raise BadRow(f"turn {number} has weight {str(value)[:40]}, expected a number from 0 to 1", _WEIGHT_HINT)
    if 0 < value < LEAST_WEIGHT:
        raise BadRow(
            f"turn {number} has weight {value:g}; above 0 it must be at least {LEAST_WEIGHT}, or nothing of it is left"
            " beside other answers",
            _WEIGHT_HINT,
        )
    return float(value)
