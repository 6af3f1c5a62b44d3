"""From columns to the shape of rows: which format they have, and what each column of it is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lora_contract import spec_paths
from lora_contract.finetune.dataset import ColumnsSpec, DatasetSpec
from lora_contract.finetune.method import METHODS, MethodName
from lora_trainer.data.conversations import plain_rows, sharegpt, unknown_columns
from lora_trainer.data.conversations.row_shape import Format, Shape
from lora_trainer.data.rows import BadRow
from lora_trainer.errors import bad_data

_MESSAGES_COLUMNS = ("messages", "conversations")
_ANSWER_COLUMNS = ("output", "response", "completion")
#: Columns that belong to a conversation where they are there, under these names alone.
_SYSTEM, _INPUT, _CONTEXT, _HISTORY, _PROMPT = "system", "input", "context", "history", "prompt"
#: The question of Alpaca's rows, to which input and history belong whatever the answers are called.
INSTRUCTION = "instruction"
#: Columns with the tools that a row offers; files of before 2024 call them functions.
TOOLS = ("tools", "functions")
#: Fields of `dataset.columns` that say something to a method; None: supervised fine-tuning.
_FIELDS: dict[MethodName | None, frozenset[str]] = {
    None: frozenset({"messages", "prompt", "input", "completion", "text", "tools"}),
    "dpo": frozenset({"prompt", "input", "chosen", "rejected", "tools"}),
    "kto": frozenset({"prompt", "input", "completion", "label", "tools"}),
}


def _shape(kind: Format, names: ColumnsSpec, row: Mapping[str, Any]) -> Shape:
    """Make the shape of one format, with the user's names before the usual ones."""
    if kind == "text":
        return Shape(kind, text=names.text or "text")
    if kind == "tokens":
        return Shape(kind, tokens=(plain_rows.INPUT_IDS,))
    if kind == "messages":
        column = names.messages or next((name for name in _MESSAGES_COLUMNS if name in row), _MESSAGES_COLUMNS[0])
        turns = row.get(column)
        in_sharegpt = isinstance(turns, list) and bool(turns) and sharegpt.is_turn(turns[0])
        return Shape(kind, messages=column, sharegpt=in_sharegpt)
    if kind == "prompt-completion":
        return Shape(kind, prompt=names.prompt or "prompt", completion=names.completion or "completion")
    answer = names.completion or answer_column(row)
    return Shape(kind, prompt=names.prompt or INSTRUCTION, input=names.input, completion=answer)


def answer_column(row: Mapping[str, Any]) -> str:
    """Find what Alpaca's rows call the answer in this one."""
    return next((name for name in _ANSWER_COLUMNS if name in row), _ANSWER_COLUMNS[0])


def completed(shape: Shape, row: Mapping[str, Any], ignored: Collection[str]) -> Shape:
    """Complete the shape with the optional columns that this row has: in files of JSON each row may have others."""
    if shape.format == "text":
        return shape
    if shape.format == "tokens":
        marks = (plain_rows.LABELS, plain_rows.ATTENTION_MASK)
        new = [name for name in marks if name in row and name not in ignored and name not in shape.tokens]
        return replace(shape, tokens=(*shape.tokens, *new)) if new else shape
    left_out = {*ignored, *shape.required}

    def found(before: str | None, name: str, *, of_format: bool = True) -> str | None:
        return name if before is None and of_format and name in row and name not in left_out else before

    instructs = shape.format == "instruction" or shape.prompt == INSTRUCTION
    asked = found(shape.prompt, _PROMPT, of_format=shape.format == "preference")
    system = found(shape.system, _SYSTEM)
    context = found(found(shape.input, _INPUT, of_format=instructs), _CONTEXT, of_format=instructs)
    history = found(shape.history, _HISTORY, of_format=instructs)
    if (asked, system, context, history) == (shape.prompt, shape.system, shape.input, shape.history):
        return shape
    return replace(shape, prompt=asked, system=system, input=context, history=history)


def check_given_names(columns: Sequence[str], names: ColumnsSpec, method: MethodName | None = None) -> None:
    """Check that each column that the user names is there, and means something to the method of the run.

    Raises:
        TrainerError: naming the field.
    """
    for field, name in names.dump().items():
        if name not in columns:
            raise bad_data(
                f"dataset.columns.{field} is {name!r}, but the columns are {', '.join(list(columns)[:20])}",
                param=f"spec.dataset.columns.{field}",
                hint="name a column that is there",
            )
        if field not in _FIELDS[method]:
            of_rows = f"with method {method}" if method is not None else "without method"
            ways = [f"set method: {{{other}: {{}}}}" for other in METHODS if field in _FIELDS[other]]
            raise bad_data(
                f"dataset.columns.{field} means nothing {of_rows}",
                param=f"spec.dataset.columns.{field}",
                hint=", or ".join(["remove it", *ways]),
            )


def detect(row: Mapping[str, Any], dataset: DatasetSpec) -> Shape:
    """Find the shape of rows like this one.

    Raises:
        TrainerError: no format fits, or more than one does and `dataset.format` is auto.
    """
    columns, names = list(row), dataset.columns
    check_given_names(columns, names)
    if dataset.format != "auto":
        shape = _shape(dataset.format, names, row)
        if not set(shape.required) <= set(columns):
            raise unknown_columns.error(row, f"{' and '.join(shape.required)} for format {dataset.format}")
        return shape
    kinds: tuple[Format, ...] = ("messages", "prompt-completion", "instruction")
    fitting = [shape for kind in kinds if set((shape := _shape(kind, names, row)).required) <= set(columns)]
    if len(fitting) == 2 and fitting[0].required == fitting[1].required:
        # Prompt and completion named by the user fit both; an input column named by the user tells them apart.
        fitting = [fitting[1] if names.input else fitting[0]]
    if len(fitting) > 1:
        raise bad_data(
            f"columns are {', '.join(columns[:20])}: they fit {' and '.join(s.format for s in fitting)}",
            param=spec_paths.DATASET_FORMAT,
            hint="set dataset.format to the one that is meant",
        )
    if not fitting:
        raise unknown_columns.error(row)
    return fitting[0]


def refuse_unread(shape: Shape, unread: Collection[str], ignored: Collection[str]) -> None:
    """Refuse a row of which a column with a meaning holds what is no text; `unread` are the columns that do.

    Raises:
        BadRow: naming the column, unless it is in `ignored`.
    """
    known = {_SYSTEM, *TOOLS} | ({_INPUT, _HISTORY} if INSTRUCTION in (shape.format, shape.prompt) else set())
    for name in unread:
        if name in known and name not in ignored:
            raise BadRow(
                f"column {name!r} holds bytes, a structure or times, which are not read, and would be dropped",
                f"write it as text, or set dataset.ignoreKeys: [{name}] where it has no meaning",
            )
