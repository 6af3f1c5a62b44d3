"""What an objective says about rows: what is trained on of a conversation, and which of its tokens are targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.rows import Conversation, ToolCall
from lora_trainer.data.splits import Split
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.unrolling import Rendered

#: What is trained on, before it is tokenised.
Example = Rendered | Document | TokenRow


class ReadyRow(NamedTuple):
    """A row that waits to be tokenised; `last`: its conversation gives no further row.

    `source` is the name of the one that it is of; empty: of none.
    """

    split: Split
    content: Example
    last: bool
    source: str = ""


class EncodedRow(NamedTuple):
    """A row with its tokens. `prompt` and `reference` are those of held-out rows; see `ReadyRow` for `last`.

    `rendered` is the text of a conversation; None for other rows.
    """

    split: Split
    tokens: Encoded
    last: bool
    prompt: list[int] | None = None
    reference: str = ""
    rendered: Rendered | None = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...] | None:
        """Give the calls of its last answer; None: it offers no tools."""
        return None if self.rendered is None else self.rendered.tool_calls


class RowObjective(Protocol):
    """How a row becomes tokens and targets."""

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
        """Tokenise a batch of rows, all of one format; a row has at most `training.maxLength` tokens."""
        ...
