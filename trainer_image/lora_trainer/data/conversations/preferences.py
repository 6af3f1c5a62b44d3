"""Rows of preferences: two answers to a prompt, of which one is preferred, or one answer that is wanted or not.

They are read in the forms of TRL (https://huggingface.co/docs/trl/dataset_formats) and, for pairs, in that of the
hosted services: `input` with messages and tools, `preferred_output` and `non_preferred_output`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import regex

from lora_contract.finetune.dataset import ColumnsSpec, DatasetSpec
from lora_contract.finetune.method import MethodName
from lora_trainer.data.composed import composed
from lora_trainer.data.conversations import conversation, formats, turns, unknown_columns
from lora_trainer.data.conversations.row_shape import Shape
from lora_trainer.data.json_values import json_type, without_nulls
from lora_trainer.data.rows import BadRow, Conversation, Message

_INPUT, _PREFERRED, _NOT_PREFERRED = "input", "preferred_output", "non_preferred_output"
#: Keys of `input`; the last says how a service answers, and nothing for training.
_KEYS_OF_INPUT = frozenset({"messages", "tools", "parallel_tool_calls"})
_OF_ANSWERS = ("assistant", "tool")
#: Format characters, such as a space of no width, and what else is never shown: variation selectors, fillers.
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Default_Ignorable_Code_Point}]")
_LONGEST_SHOWN = 60


def detect(row: Mapping[str, Any], dataset: DatasetSpec, method: MethodName) -> Shape:
    """Find the shape of rows like this one.

    Raises:
        TrainerError: they are no rows for the method.
    """
    formats.check_given_names(list(row), dataset.columns, method)
    for shape in _shapes(dataset.columns, row, method):
        if set(shape.required) <= row.keys():
            return shape
    raise unknown_columns.error_of_preferences(row, method)


def _shapes(names: ColumnsSpec, row: Mapping[str, Any], method: MethodName) -> list[Shape]:
    instructs = "prompt" not in row and formats.INSTRUCTION in row
    prompt = names.prompt or (formats.INSTRUCTION if instructs else "prompt")
    if method == "kto":
        completion = names.completion or (formats.answer_column(row) if instructs else "completion")
        label = names.label or "label"
        return [
            Shape("unpaired-preference", prompt=prompt, input=names.input, completion=completion, label=label),
        ]
    asked = prompt if names.prompt or prompt in row else None
    chosen, rejected = names.chosen or "chosen", names.rejected or "rejected"
    return [
        Shape("preference", prompt=asked, input=names.input, chosen=chosen, rejected=rejected),
        Shape("preferred-output", prompt=_INPUT, chosen=_PREFERRED, rejected=_NOT_PREFERRED),
    ]


@dataclass(frozen=True)
class GivenAnswers:
    """A prompt and its answers, by the names of their columns, as turns that `conversation.check` judges.

    `prompt` is None where the answers are whole conversations that hold it. `tools` are those of the form that has
    them beside its messages.
    """

    prompt: list[Any] | None
    answers: dict[str, list[Any]]
    tools: Any = None
    desirable: bool | None = None

    @property
    def without_nulls(self) -> GivenAnswers:
        """The same without keys whose value is null: Arrow writes null for each key that another row has."""
        answers = {name: without_nulls(answer) for name, answer in self.answers.items()}
        return replace(self, prompt=without_nulls(self.prompt), answers=answers, tools=without_nulls(self.tools))


def read(value: dict[str, Any], shape: Shape, ignored: Collection[str] = ()) -> GivenAnswers:
    """Read prompt and answers of a row.

    Raises:
        BadRow: a column is missing, empty or of the wrong type.
    """
    columns = (shape.completion,) if shape.label else (shape.chosen, shape.rejected)
    answers = {str(name): turns.as_messages(_turns(value, str(name), "assistant"), ignored) for name in columns}
    if shape.format == "preferred-output":
        asked = _input(value, ignored)
        return GivenAnswers(turns.as_messages(asked["messages"], ignored), answers, asked.get("tools"))
    prompt = None
    if shape.prompt is not None and value.get(shape.prompt) is not None:
        prompt = turns.as_messages([*turns.history(value, shape), *_asked(value, shape)], ignored)
    elif shape.label or any(answer[0].get("role") in _OF_ANSWERS for answer in answers.values()):
        raise BadRow(
            f"has no {shape.prompt or 'prompt'}, and an answer that does not hold it",
            "name the column with the question in dataset.columns: {prompt: ...}, or write both answers as lists of"
            " messages that begin with it",
        )
    if prompt is not None:
        prompt = turns.with_system(value, shape, prompt)
    for name, answer in answers.items():
        answers[name] = turns.with_system(value, shape, answer) if _begins_a_conversation(answer) else answer
    return GivenAnswers(prompt, answers, desirable=_label(value, shape.label) if shape.label else None)


def _turns(value: dict[str, Any], column: str, role: str) -> list[Any]:
    """Read the messages in a column, or a text as one message of this role."""
    found = turns.messages_in(value, column)
    if found is None:
        return [{"role": role, "content": turns.text_of(value, column)}]
    if not found:
        raise BadRow(f"column {column!r} is empty")
    return found


def _asked(value: dict[str, Any], shape: Shape) -> list[Any]:
    """Read the question, with the input of an instruction behind it."""
    asked = turns.prompt(value, shape)
    if not asked:
        raise BadRow(f"column {shape.prompt!r} is empty")
    return asked


def _input(value: dict[str, Any], ignored: Collection[str]) -> dict[str, Any]:
    """Read the column `input` of the hosted services' form."""
    asked = value.get(_INPUT)
    if not isinstance(asked, dict) or not isinstance(asked.get("messages"), list) or not asked["messages"]:
        raise BadRow(f"column {_INPUT!r} is {json_type(asked)}, expected an object with a list of messages")
    unknown = [key for key, said in asked.items() if said and key not in _KEYS_OF_INPUT and key not in ignored]
    if unknown:
        keys = ", ".join(key[:_LONGEST_SHOWN] for key in unknown[:20])
        raise BadRow(
            f"column {_INPUT!r} has {keys}, which would be dropped: what it means is not known",
            f"if it means nothing for training, set dataset.ignoreKeys: [{keys}]; or remove it",
        )
    return {key: said for key, said in asked.items() if key not in ignored or key == "messages"}


def _label(value: dict[str, Any], column: str) -> bool:
    if column not in value:
        raise BadRow(f"has no column {column!r}; its columns are {', '.join(list(value)[:20])}")
    label = value[column]
    if not isinstance(label, bool):
        raise BadRow(
            f"column {column!r} is {json_type(label)}, expected true or false",
            "write true where the answer is wanted and false where it is not, in a file of JSON or Parquet",
        )
    return label


def check(given: GivenAnswers, offered: Any = None) -> Conversation:
    """Make a conversation of prompt and answers, with the tools that the row offers.

    Raises:
        BadRow: saying in which of the answers which turn is wrong, or that they do not answer the same prompt.
    """
    found = {name: _checked(name, given, answer, offered) for name, answer in given.answers.items()}
    first, *others = found.values()
    wholes = [_begins_a_conversation(answer) for answer in given.answers.values()]
    asked = len(given.prompt or ())
    if any(wholes):
        asked = _shared(list(found), first.messages, others[0].messages if others else first.messages)
        _check_prompt(given.prompt, first.messages[:asked], offered)
    for name, answer in found.items():
        _check_answer(name, answer.messages, asked)
    rejected = others[0].messages[asked:] if others else ()
    if _composed(rejected) == _composed(first.messages[asked:]):
        raise BadRow(f"{' and '.join(found)} are equal, so neither is preferred", "leave the row out")
    return first._replace(asked=asked, rejected=rejected, desirable=given.desirable)


def _composed(answer: Sequence[Message]) -> list[Message]:
    """Write letters and their marks as one character (NFC), without what is invisible: nobody sees a difference."""
    return [turn._replace(content=composed(_INVISIBLE.sub("", turn.content))) for turn in answer]


def _checked(name: str, given: GivenAnswers, answer: list[Any], offered: Any) -> Conversation:
    whole = _begins_a_conversation(answer)
    if whole and given.desirable is not None:
        raise BadRow(f"{name} begins with a turn of the user, expected the answer alone: its prompt has its own column")
    try:
        return conversation.check(answer if whole else [*(given.prompt or ()), *answer], offered)
    except BadRow as error:
        raise BadRow(f"{name}: {error.problem}", error.hint) from error


def _begins_a_conversation(answer: Sequence[Any]) -> bool:
    """Tell whether what should be an answer begins with what is asked."""
    role = answer[0].get("role") if isinstance(answer[0], dict) else None
    return role in ("system", "developer", "user")


def _shared(names: Sequence[str], chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """Count the turns with which both conversations begin: their prompt. An answer begins with the assistant."""
    count = next(
        (index for index, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other),
        min(len(chosen), len(rejected)) - 1,
    )
    while count and "tool" in (chosen[count].role, rejected[count].role):
        count -= 1  # another result of the same call: the call belongs to the answer
    if chosen[count].role == rejected[count].role == "assistant":
        return count
    asked = next((turn for turn in (chosen[count], rejected[count]) if turn.role != "assistant"), chosen[count])
    raise BadRow(
        f"the prompts of {' and '.join(names)} differ: turn {count + 1} is not the same in both, and not an answer"
        f" ({asked.role}: {asked.content[:_LONGEST_SHOWN]!r})",
        "compare answers to one prompt, or leave the row out",
    )


def _check_prompt(prompt: list[Any] | None, shared: Sequence[Message], offered: Any) -> None:
    """Hold the prompt in a column of its own against that with which both conversations begin."""
    if prompt is None:
        return
    own = conversation.check([*prompt, {"role": "assistant", "content": "-"}], offered).messages[:-1]
    if tuple(shared[-len(own) :]) != own:
        raise BadRow(
            "the prompt in its own column is not the one with which both conversations begin",
            "remove the column, or give the answers alone",
        )


def _check_answer(name: str, messages: Sequence[Message], asked: int) -> None:
    """Check that the turns behind the prompt are an answer, all of which is compared."""
    for number, message in enumerate(messages[asked:], start=asked + 1):
        if message.role not in _OF_ANSWERS:
            raise BadRow(
                f"{name}: turn {number} is {message.role}, but an answer has turns of assistant and tool alone",
                "put all turns before the last answer into the prompt",
            )
        if message.left_out or message.weight != 1:
            raise BadRow(
                f"{name}: turn {number} has weight or train, but answers are compared as a whole",
                "remove them, or set dataset.ignoreKeys: [weight, train]",
            )
    if messages[asked].role != "assistant":
        raise BadRow(f"{name}: begins with the result of a tool, expected the assistant's turn")
