"""What a reader yields and what a row is once it is understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn."""

    role: Role
    content: str

    def as_dict(self) -> dict[str, str]:
        """The form in which chat templates read it."""
        return {"role": self.role, "content": self.content}


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


class BadRow(Exception):  # noqa: N818 - a verdict on a row, which Skip lets pass, not a failure of the program
    """Why a row cannot be trained on."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        """`problem` goes on after the place of the row: "train.jsonl, line 3: <problem>"."""
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
