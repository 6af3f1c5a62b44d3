"""The shape of rows: a format, and what its columns are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal[
    "messages",
    "prompt-completion",
    "instruction",
    "text",
    "tokens",
    "preference",
    "preferred-output",
    "unpaired-preference",
]


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
    chosen: str | None = None
    rejected: str | None = None
    label: str | None = None
    #: Columns of token ids, the first of which is required.
    tokens: tuple[str, ...] = ()
    #: The turns of the first row have `from` and `value`.
    sharegpt: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that every row must have."""
        names = (self.messages, self.prompt, self.completion, self.text, *self.tokens[:1])
        preferences = (self.chosen, self.rejected, self.label)
        return tuple(name for name in (*names, *preferences) if name is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        more = (self.input, self.system, self.history)
        return (*self.required, *(name for name in more if name is not None), *self.tokens[1:])

    def __str__(self) -> str:
        """The shape in words."""
        said = "; ShareGPT: from and value are read as role and content" if self.sharegpt else ""
        return f"{self.format} (columns {', '.join(self.columns)}{said})"
