"""What an objective says about rows: what is trained on of a conversation, and which of its tokens are targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.rows import BadRow, Conversation, Place, ToolCall
from lora_trainer.data.splits import Split
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.unrolling import Rendered


@dataclass(frozen=True)
class Answers:
    """A row of preferences as text: the chosen answer and the rejected one, each behind the prompt; or one alone.

    `desirable` says whether the one is wanted; None: there are two.
    """

    chosen: Rendered
    rejected: Rendered | None = None
    desirable: bool | None = None

    @property
    def all(self) -> tuple[Rendered, ...]:
        """The one or the two."""
        return (self.chosen,) if self.rejected is None else (self.chosen, self.rejected)

    @property
    def size(self) -> int:
        """Characters."""
        return sum(each.size for each in self.all)


#: What is trained on, before it is tokenised.
Example = Rendered | Document | TokenRow | Answers


class ReadyRow(NamedTuple):
    """A row that waits to be tokenised; `last`: its conversation gives no further row.

    `source` is the name of the one that it is of; empty: of none.
    """

    split: Split
    content: Example
    last: bool
    source: str = ""
    place: Place | None = None


class EncodedRow(NamedTuple):
    """A row with its tokens. `prompt` and `reference` are those of held-out rows; see `ReadyRow` for `last`.

    `rendered` is the text of a conversation; None for other rows. `preference` is what the column of preferences holds
    (see `prepared`). `bad` says what only the tokens show to be wrong with the row, which then is not to be kept.
    """

    split: Split
    tokens: Encoded
    last: bool
    prompt: list[int] | None = None
    reference: str = ""
    rendered: Rendered | None = None
    preference: int | bool | None = None
    place: Place | None = None
    bad: BadRow | None = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...] | None:
        """Give the calls of its last answer; None: it offers no tools."""
        return None if self.rendered is None else self.rendered.tool_calls


class RowObjective(Protocol):
    """How a row becomes tokens and targets."""

    @property
    def preference(self) -> pa.Field | None:
        """The column in which prepared rows say what is preferred; None: they have none."""
        ...

    @property
    def longest(self) -> int:
        """The most tokens that a row may have."""
        ...

    def examples(self, conversation: Conversation) -> Sequence[Example]:
        """Give what is trained on of a conversation, in its order.

        Raises:
            BadRow: it cannot be trained on.
            TemplateRefusal: the chat template raised an error.
            AnswerNotFound: an answer is not where the server asks for it.
        """
        ...

    def answers(self, conversation: Conversation, examples: Sequence[Example]) -> Mapping[str, int]:
        """Count the answers of a conversation by whether they count, by the fields of `AnswersStatus`."""
        ...

    def encode(self, rows: Sequence[ReadyRow]) -> Iterator[EncodedRow]:
        """Tokenise a batch of rows, all of one format; a row has at most `longest` tokens."""
        ...
