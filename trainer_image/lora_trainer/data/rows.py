"""What a reader yields and what a row is once it is understood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

Role = Literal["system", "developer", "user", "assistant", "tool"]
#: Why an answer does not count: the row says so, or `training.trainOn: last`.
LeftOut = Literal["weight", "train", "earlier"]


class ToolCall(NamedTuple):
    """One call of a tool. `id` is empty where the row gives none."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class CallForm(NamedTuple):
    """How a chat template wants a turn that calls tools: its content where there is none, arguments as JSON text."""

    no_content: str | None = ""
    arguments_as_text: bool = False


class Message(NamedTuple):
    """One turn; texts that the row does not give are empty."""

    role: Role
    content: str
    reasoning: str = ""
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    #: Set on an answer that the row says not to learn.
    left_out: LeftOut | None = None
    #: How much the loss of an answer counts, above 0 and at most 1.
    weight: float = 1.0

    def as_dict(self, form: CallForm = CallForm()) -> dict[str, Any]:  # noqa: B008 - it is immutable
        """Make the dictionary that servers give to chat templates; keys without a value are absent."""
        turn: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            turn["reasoning_content"] = turn["thinking"] = self.reasoning  # as transformers gives it to templates
        if self.name:
            turn["name"] = self.name
        if self.tool_call_id:
            turn["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            turn["content"] = self.content or form.no_content
            turn["tool_calls"] = [_call(call, form) for call in self.tool_calls]
        return turn


def _call(call: ToolCall, form: CallForm) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False) if form.arguments_as_text else call.arguments
    made = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
    return {"id": call.id, **made} if call.id else made


@dataclass(frozen=True, eq=False)
class Toolset:
    """The tools that a row offers, each as `{"type": "function", "function": ...}`.

    Rows that offer the same tools share one object, so what is found out about them is found out once.
    """

    functions: tuple[dict[str, Any], ...] = ()
    #: What checks the arguments of a call, by the name of the function, where it has a schema.
    validators: Mapping[str, Any] = field(default_factory=dict)
    #: What of their schemas is not read as it is written, in words.
    schema_notes: tuple[str, ...] = ()
    #: What chat templates wrote of a tool as JSON, by the identity of the tool and the options of the writing.
    written: dict[tuple[object, ...], str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.functions)

    @cached_property
    def identities(self) -> frozenset[int]:
        """The identities of the tools and of their functions, which live as long as this object."""
        return frozenset(id(part) for tool in self.functions for part in (tool, tool["function"]))

    @cached_property
    def as_json(self) -> str:
        """The tools as JSON with sorted keys."""
        return json.dumps(self.functions, sort_keys=True, ensure_ascii=False)


NO_TOOLS = Toolset()


class Conversation(NamedTuple):
    """The turns of a row and the tools that are offered in it."""

    messages: tuple[Message, ...]
    tools: Toolset = NO_TOOLS
    #: What messages call the first turn: 0 where it is `dataset.systemPrompt`, which no row has.
    first: int = 1
    #: Of preferences: how many turns ask; those behind them are the answer.
    asked: int = 0
    #: Of a pair: the turns of the other answer, which is rejected.
    rejected: tuple[Message, ...] = ()
    #: Of an answer with a label: whether it is wanted.
    desirable: bool | None = None

    @property
    def prompt(self) -> Conversation:
        """The turns that ask."""
        return Conversation(self.messages[: self.asked], self.tools, self.first)

    @property
    def with_rejected(self) -> Conversation:
        """The same with the rejected answer in place of the chosen one."""
        return self._replace(messages=(*self.messages[: self.asked], *self.rejected), rejected=())

    def behind(self, system: str) -> Conversation:
        """Put a system turn that no row has in front."""
        messages = (Message("system", system), *self.messages)
        return self._replace(messages=messages, first=0, asked=self.asked + 1 if self.asked else 0)


class Place(NamedTuple):
    """Where a row stands: file, number from 1, and what is numbered; in an array also which element it is, from 1."""

    file: str
    number: int
    unit: Literal["line", "row"] = "line"
    element: int | None = None

    def __str__(self) -> str:
        """The place in a sentence."""
        if self.element is not None:
            return f"{self.file}, element {self.element} ({self.unit} {self.number})"
        return f"{self.file}, {self.unit} {self.number}"

    @property
    def short(self) -> str:
        """The place as `file:number`."""
        return f"{self.file}:{self.number}"


@dataclass(frozen=True)
class RawRow:
    """A row as it stands in the file: an object, or the reason why it is none."""

    place: Place
    value: dict[str, Any] | None
    problem: str | None = None
    #: What to do about it, where it is not to correct this row alone.
    hint: str | None = None
    #: Columns of the file that hold no text, and are not in `value`.
    unread: tuple[str, ...] = ()


class BadRow(Exception):  # noqa: N818 - a verdict on a row, which Skip lets pass, not a failure of the program
    """Why a row cannot be trained on."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        """`problem` goes on after the place of the row: "train.jsonl, line 3: <problem>"."""
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
