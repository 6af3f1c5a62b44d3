"""From columns to a conversation: which shape the rows have, and what each column of it is called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lora_contract.finetune.dataset import ColumnsSpec, DatasetSpec
from lora_trainer.data.json_values import DECODER, json_type
from lora_trainer.data.rows import BadRow
from lora_trainer.errors import TrainerError, bad_data

Format = Literal["messages", "prompt-completion", "instruction"]

_EXPECTED = "messages, or prompt and completion, or instruction and output (with input where there is one)"
_ANSWER_COLUMNS = ("output", "response", "completion")


@dataclass(frozen=True)
class Shape:
    """A format with the names of its columns; None where the format has no such column."""

    format: Format
    messages: str | None = None
    prompt: str | None = None
    input: str | None = None
    completion: str | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that every row must have."""
        return tuple(name for name in (self.messages, self.prompt, self.completion) if name is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        return (*self.required, *([self.input] if self.input else []))

    def __str__(self) -> str:
        """The shape in words."""
        return f"{self.format} (columns {', '.join(self.columns)})"


def _shape(kind: Format, names: ColumnsSpec, columns: Sequence[str]) -> Shape:
    """The shape of one format, with the user's names before the usual ones."""
    if kind == "messages":
        return Shape(kind, messages=names.messages or "messages")
    if kind == "prompt-completion":
        return Shape(kind, prompt=names.prompt or "prompt", completion=names.completion or "completion")
    answer = names.completion or next((name for name in _ANSWER_COLUMNS if name in columns), _ANSWER_COLUMNS[0])
    extra = names.input or ("input" if "input" in columns else None)
    return Shape(kind, prompt=names.prompt or "instruction", input=extra, completion=answer)


def _wrong_columns(columns: Sequence[str], expected: str) -> TrainerError:
    shown = ", ".join(list(columns)[:20]) + (", ..." if len(columns) > 20 else "")
    return bad_data(
        f"columns are {shown}; expected {expected}; set dataset.columns",
        param="spec.dataset.columns",
        hint="name your columns in dataset.columns, or rename them in the file",
    )


def _check_given_names(columns: Sequence[str], names: ColumnsSpec) -> None:
    for field, name in names.dump().items():
        if name not in columns:
            raise bad_data(
                f"dataset.columns.{field} is {name!r}, but the columns are {', '.join(list(columns)[:20])}",
                param=f"spec.dataset.columns.{field}",
                hint="name a column that is there",
            )


def detect(columns: Sequence[str], dataset: DatasetSpec) -> Shape:
    """The shape of rows with these columns.

    Raises:
        TrainerError: no format fits, or more than one does and `dataset.format` is auto.
    """
    names = dataset.columns
    _check_given_names(columns, names)
    if dataset.format != "auto":
        shape = _shape(dataset.format, names, columns)
        if not set(shape.required) <= set(columns):
            raise _wrong_columns(columns, f"{' and '.join(shape.required)} for format {dataset.format}")
        return shape
    kinds: tuple[Format, ...] = ("messages", "prompt-completion", "instruction")
    fitting = [shape for kind in kinds if set((shape := _shape(kind, names, columns)).required) <= set(columns)]
    if len(fitting) == 2 and fitting[0].required == fitting[1].required:
        # Prompt and completion named by the user fit both; an input column named by the user tells them apart.
        fitting = [fitting[1] if names.input else fitting[0]]
    if len(fitting) > 1:
        raise bad_data(
            f"columns are {', '.join(list(columns)[:20])}: they fit {' and '.join(s.format for s in fitting)}",
            param="spec.dataset.format",
            hint="set dataset.format to the one that is meant",
        )
    if not fitting:
        raise _wrong_columns(columns, _EXPECTED)
    return fitting[0]


def _text(value: dict[str, Any], column: str, *, optional: bool = False) -> str:
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}")
    text = value[column]
    if optional and text is None:
        return ""
    if not isinstance(text, str):
        raise BadRow(f"column {column!r} is {json_type(text)}, expected a text")
    if not optional and not text.strip():
        raise BadRow(f"column {column!r} is empty")
    return text


def turns(value: dict[str, Any], shape: Shape) -> list[Any]:
    """The conversation in a row, as a list that `conversation.check` judges.

    Raises:
        BadRow: a column is missing, empty or of the wrong type.
    """
    if shape.messages is not None:
        return _messages(value, shape.messages)
    prompt, completion = _text(value, str(shape.prompt)), _text(value, str(shape.completion))
    extra = _text(value, shape.input, optional=True) if shape.input in value and shape.input else ""
    user = f"{prompt}\n\n{extra}" if extra.strip() else prompt
    return [{"role": "user", "content": user}, {"role": "assistant", "content": completion}]


def _messages(value: dict[str, Any], column: str) -> list[Any]:
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}")
    messages = value[column]
    if isinstance(messages, str):  # csv can only hold the list as text
        try:
            messages = DECODER.decode(messages)
        except (json.JSONDecodeError, ValueError, RecursionError) as error:
            raise BadRow(f"column {column!r} is a text that is not a JSON list of messages") from error
    if not isinstance(messages, list):
        raise BadRow(f"column {column!r} is {json_type(messages)}, expected a list of messages")
    return messages
