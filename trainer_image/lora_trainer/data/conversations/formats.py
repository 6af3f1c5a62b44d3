"""From columns to a conversation: which shape the rows have, and what each column of it is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_contract import spec_paths
from lora_contract.finetune.dataset import ColumnsSpec, DatasetSpec
from lora_trainer.data.conversations import content_parts, plain_rows, sharegpt, unknown_columns
from lora_trainer.data.json_values import DECODER, json_type, why_not
from lora_trainer.data.rows import BadRow
from lora_trainer.errors import bad_data

Format = Literal["messages", "prompt-completion", "instruction", "text", "tokens"]

_MESSAGES_COLUMNS = ("messages", "conversations")
_ANSWER_COLUMNS = ("output", "response", "completion")
#: Columns that belong to a conversation where they are there, under these names alone.
_SYSTEM, _INPUT, _HISTORY = "system", "input", "history"
#: Columns with the tools that a row offers; files of before 2024 call them functions.
TOOLS = ("tools", "functions")
#: Keys of turns without which there is none, whatever `dataset.ignoreKeys` says.
_ALWAYS_READ = frozenset({"role", "content", sharegpt.SPEAKER, sharegpt.TEXT})


@dataclass(frozen=True)
class Shape:
    """A format with the names of its columns; None where the format has no such column."""

    format: Format
    messages: str | None = None
    prompt: str | None = None
    input: str | None = None
    completion: str | None = None
    system: str | None = None
    history: str | None = None
    text: str | None = None
    #: Columns of token ids, the first of which is required.
    tokens: tuple[str, ...] = ()
    #: The turns of the first row have `from` and `value`.
    sharegpt: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that every row must have."""
        names = (self.messages, self.prompt, self.completion, self.text, *self.tokens[:1])
        return tuple(name for name in names if name is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        more = (self.input, self.system, self.history)
        return (*self.required, *(name for name in more if name is not None), *self.tokens[1:])

    def __str__(self) -> str:
        """The shape in words."""
        said = "; ShareGPT: from and value are read as role and content" if self.sharegpt else ""
        return f"{self.format} (columns {', '.join(self.columns)}{said})"


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
    answer = names.completion or next((name for name in _ANSWER_COLUMNS if name in row), _ANSWER_COLUMNS[0])
    return Shape(kind, prompt=names.prompt or "instruction", input=names.input, completion=answer)


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

    instructs = shape.format == "instruction"
    system = found(shape.system, _SYSTEM)
    context = found(shape.input, _INPUT, of_format=instructs)
    history = found(shape.history, _HISTORY, of_format=instructs)
    if (system, context, history) == (shape.system, shape.input, shape.history):
        return shape
    return replace(shape, system=system, input=context, history=history)


def _check_given_names(columns: Sequence[str], names: ColumnsSpec) -> None:
    for field, name in names.dump().items():
        if name not in columns:
            raise bad_data(
                f"dataset.columns.{field} is {name!r}, but the columns are {', '.join(list(columns)[:20])}",
                param=f"spec.dataset.columns.{field}",
                hint="name a column that is there",
            )


def detect(row: Mapping[str, Any], dataset: DatasetSpec) -> Shape:
    """Find the shape of rows like this one.

    Raises:
        TrainerError: no format fits, or more than one does and `dataset.format` is auto.
    """
    columns, names = list(row), dataset.columns
    _check_given_names(columns, names)
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
    known = {_SYSTEM, *TOOLS} | ({_INPUT, _HISTORY} if shape.format == "instruction" else set())
    for name in unread:
        if name in known and name not in ignored:
            raise BadRow(
                f"column {name!r} holds bytes, a structure or times, which are not read, and would be dropped",
                f"write it as text, or set dataset.ignoreKeys: [{name}] where it has no meaning",
            )


def turns(value: dict[str, Any], shape: Shape, ignored: Collection[str] = ()) -> list[Any]:
    """Read the conversation in a row, as a list of messages that `conversation.check` judges: role and content as text.

    Keys of turns that are in `ignored` are left out.

    Raises:
        BadRow: a column is missing, empty or of the wrong type, or a turn holds something that is no text.
    """
    if shape.messages is not None:
        return _with_system(value, shape, _turns(_messages(value, shape.messages), ignored))
    asked = _turns(_prompt(value, shape), ignored)
    if isinstance(value.get(str(shape.prompt)), list):
        asked = [_not_learned(turn) for turn in asked]
    before = [*_history(value, shape), *asked]
    return _with_system(value, shape, [*before, *_turns(_completion(value, shape), ignored, after=len(before))])


def _turns(found: Sequence[Any], ignored: Collection[str], after: int = 0) -> list[Any]:
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


def _with_system(value: dict[str, Any], shape: Shape, found: list[Any]) -> list[Any]:
    """Put the text of the column `system`, where it has one, as a turn in front of the others."""
    text = _text(value, shape.system, optional=True) if shape.system in value and shape.system else ""
    if not text.strip():
        return found
    first = found[0] if found else None
    if isinstance(first, dict) and first.get("role") in ("system", "developer"):
        if first.get("content") == text:
            return found
        raise BadRow(f"has a system turn, and another text in the column {shape.system!r}; keep one of them")
    return [{"role": "system", "content": text}, *found]


def _history(value: dict[str, Any], shape: Shape) -> list[dict[str, str]]:
    """Read the earlier questions and answers of an instruction, which LLaMA-Factory has as a list of pairs of texts."""
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


def _prompt(value: dict[str, Any], shape: Shape) -> list[Any]:
    """Read what is asked: a text, with the input of an instruction behind it; or messages."""
    asked = _turns_in(value, str(shape.prompt))
    extra = _text(value, shape.input, optional=True) if shape.input in value and shape.input else ""
    if asked is not None:
        if extra.strip():
            problem = f"has messages in the column {shape.prompt!r}, and a text in {shape.input!r} that belongs to none"
            raise BadRow(problem, "write it into the messages")
        return asked
    prompt = _text(value, str(shape.prompt))
    return [{"role": "user", "content": f"{prompt}\n\n{extra}" if extra.strip() else prompt}]


def _turns_in(value: dict[str, Any], column: str) -> list[Any] | None:
    """Give the messages in a column that holds a list of them; None: it holds no list."""
    found = value.get(column)
    if not isinstance(found, list):
        return None
    other = [turn for turn in found if not isinstance(turn, dict)]
    if other:
        raise BadRow(
            f"column {column!r} is a list that holds {json_type(other[0])}, expected a text or a list of messages",
            "write one row a line, for example with to_json(orient='records', lines=True) of pandas",
        )
    return found


def _not_learned(turn: Any) -> Any:
    """Mark an answer in a prompt as one not to learn where the row says nothing else; leave other turns as they are."""
    if not isinstance(turn, dict) or turn.get("role") != "assistant":
        return turn
    said = turn.get("weight") is not None or turn.get("train") is not None
    return turn if said else {**turn, "train": False}


def _completion(value: dict[str, Any], shape: Shape) -> list[Any]:
    """Read what is answered: a text, or messages."""
    answered = _turns_in(value, str(shape.completion))
    if answered is not None:
        return answered
    return [{"role": "assistant", "content": _text(value, str(shape.completion))}]


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


def _messages(value: dict[str, Any], column: str) -> list[Any]:
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}")
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
