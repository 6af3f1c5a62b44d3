"""From the columns of a row to its turns, as a list of messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from lora_trainer.data.conversations import content_parts, sharegpt
from lora_trainer.data.conversations.row_shape import Shape
from lora_trainer.data.json_values import DECODER, json_type, why_not
from lora_trainer.data.rows import BadRow

#: Keys of turns without which there is none, whatever `dataset.ignoreKeys` says.
_ALWAYS_READ = frozenset({"role", "content", sharegpt.SPEAKER, sharegpt.TEXT})

#: A list of messages as JSON writes it, or Python: [{"role": ...
_MESSAGES_AS_TEXT = re.compile(r"""\s*\[\s*\{\s*["'](?:role|content|from|value)["']\s*:""")
_ROWS_HINT = "write one row a line, for example with to_json(orient='records', lines=True) of pandas"
_FORM_HINT = "correct the row; put rows of another form into a file of their own"


def read(value: dict[str, Any], shape: Shape, ignored: Collection[str] = ()) -> list[Any]:
    """Read the conversation in a row, as a list of messages that `conversation.check` judges: role and content as text.

    Keys of turns that are in `ignored` are left out.

    Raises:
        BadRow: a column is missing, empty or of the wrong type, or a turn holds something that is no text.
    """
    if shape.messages is not None:
        return with_system(value, shape, as_messages(_messages(value, shape.messages), ignored))
    asked = as_messages(prompt(value, shape), ignored)
    if isinstance(value.get(str(shape.prompt)), list):
        asked = [_not_learned(turn) for turn in asked]
    before = [*history(value, shape), *asked]
    return with_system(value, shape, [*before, *as_messages(_completion(value, shape), ignored, after=len(before))])


def as_messages(found: Sequence[Any], ignored: Collection[str], after: int = 0) -> list[Any]:
    """Bring turns into the form of messages, without keys that are `ignored`; the first is number `after` + 1."""
    left_out = set(ignored) - _ALWAYS_READ
    return [_turn(turn, number, left_out) for number, turn in enumerate(found, start=after + 1)]


def _turn(turn: Any, number: int, left_out: Collection[str]) -> Any:
    """Bring a turn into the form of messages, with its text in one piece."""
    if left_out and isinstance(turn, dict):
        turn = {key: value for key, value in turn.items() if key not in left_out}
    if sharegpt.is_turn(turn):
        turn = sharegpt.as_message(turn, number)
    if isinstance(turn, dict) and isinstance(turn.get("content"), list):
        return {**turn, "content": content_parts.joined(turn["content"], number)}
    return turn


def with_system(value: dict[str, Any], shape: Shape, found: list[Any]) -> list[Any]:
    """Put the text of the column `system`, where it has one, as a turn in front of the others."""
    text = _system(value, shape.system) if shape.system in value and shape.system else ""
    if not text.strip():
        return found
    first = found[0] if found else None
    if isinstance(first, dict) and first.get("role") in ("system", "developer"):
        if first.get("content") == text:
            return found
        raise BadRow(f"has a system turn, and another text in the column {shape.system!r}; keep one of them")
    return [{"role": "system", "content": text}, *found]


def _system(value: dict[str, Any], column: str) -> str:
    """Read the text of a system column; APIs have it in parts as well."""
    found = value[column]
    if isinstance(found, list) and found and all(isinstance(part, dict) for part in found):
        return "\n".join(content_parts.text_of(part, f"column {column!r}, part {n}") for n, part in enumerate(found, 1))
    return text_of(value, column, optional=True)


def history(value: dict[str, Any], shape: Shape) -> list[dict[str, str]]:
    """Read the earlier questions and answers of an instruction, which LLaMA-Factory has as a list of pairs of texts.

    Raises:
        BadRow: it is something else.
    """
    pairs = value.get(shape.history) if shape.history else None
    if pairs is None:
        return []
    if isinstance(pairs, str) and not pairs.strip():
        return []
    made: list[dict[str, str]] = []
    for pair in pairs if isinstance(pairs, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise BadRow(f"column {shape.history!r} is not a list of pairs of texts: question and answer")
        made += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return made


def prompt(value: dict[str, Any], shape: Shape) -> list[Any]:
    """Read what is asked: a text, with the input of an instruction behind it; or messages.

    Raises:
        BadRow: there is none, or it is neither.
    """
    asked = messages_in(value, str(shape.prompt))
    extra = text_of(value, shape.input, optional=True) if shape.input in value and shape.input else ""
    if asked is not None:
        if extra.strip():
            problem = f"has messages in the column {shape.prompt!r}, and a text in {shape.input!r} that belongs to none"
            raise BadRow(problem, "write it into the messages")
        return asked
    question = text_of(value, str(shape.prompt))
    return [{"role": "user", "content": f"{question}\n\n{extra}" if extra.strip() else question}]


def messages_in(value: dict[str, Any], column: str) -> list[Any] | None:
    """Give the messages in a column that holds a list of them, or one alone; None: it holds neither.

    Raises:
        BadRow: it holds a list of something else, or a list of messages as text, as tables of text alone have it.
    """
    found = value.get(column)
    if isinstance(found, dict) and ("content" in found or sharegpt.is_turn(found)):
        return [found]
    if isinstance(found, str) and _MESSAGES_AS_TEXT.match(found):
        raise BadRow(
            f"column {column!r} holds messages as a text, which would be learned letter by letter",
            "write them as a list, in a file of JSON or Parquet; where the text itself is meant, begin it with a word",
        )
    if not isinstance(found, list):
        return None
    other = [turn for turn in found if not isinstance(turn, dict)]
    if other:
        raise BadRow(
            f"column {column!r} is a list that holds {json_type(other[0])}, expected a text or a list of messages",
            _ROWS_HINT if _by_columns(value) else "write one text, or give each text of the list a row of its own",
        )
    return found


def _by_columns(value: dict[str, Any]) -> bool:
    """Tell whether what was read as a row seems to be a file by columns: each holds as many values."""
    lengths = {len(column) if isinstance(column, list) else None for column in value.values()}
    return len(lengths) == 1 and None not in lengths


def _not_learned(turn: Any) -> Any:
    """Mark an answer in a prompt as one not to learn where the row says nothing else; leave other turns as they are."""
    if not isinstance(turn, dict) or turn.get("role") != "assistant":
        return turn
    said = turn.get("weight") is not None or turn.get("train") is not None
    return turn if said else {**turn, "train": False}


def _completion(value: dict[str, Any], shape: Shape) -> list[Any]:
    """Read what is answered: a text, or messages."""
    answered = messages_in(value, str(shape.completion))
    if answered is not None:
        return answered
    return [{"role": "assistant", "content": text_of(value, str(shape.completion))}]


def text_of(value: dict[str, Any], column: str, *, optional: bool = False) -> str:
    """Read the text in a column.

    Raises:
        BadRow: there is none, and it is not `optional`; or it holds something else.
    """
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}", _FORM_HINT)
    text = value[column]
    if optional and text is None:
        return ""
    if not isinstance(text, str):
        by_row = isinstance(text, dict) and all(str(key).isdecimal() for key in text)
        hint = "write it as a text, in quotation marks" if isinstance(text, int | float) else None
        raise BadRow(f"column {column!r} is {json_type(text)}, expected a text", _ROWS_HINT if by_row else hint)
    if not optional and not text.strip():
        raise BadRow(f"column {column!r} is empty")
    return text


def _messages(value: dict[str, Any], column: str) -> list[Any]:
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}", _FORM_HINT)
    messages = value[column]
    if isinstance(messages, str):  # csv can only hold the list as text
        try:
            messages = DECODER.decode(messages)
        except (ValueError, RecursionError) as error:
            raise BadRow(
                f"column {column!r} is a text that is not a JSON list of messages: {why_not(error)}"
            ) from error
    if not isinstance(messages, list):
        raise BadRow(f"column {column!r} is {json_type(messages)}, expected a list of messages")
    return messages
