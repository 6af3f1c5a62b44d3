"""From rows that were understood to token ids, batch by batch, whatever their format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lora_trainer.data.checker import ReadyRow
from lora_trainer.data.conversations import plain_rows
from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.splits import Split
from lora_trainer.data.template import masking
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.unrolling import Rendered


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


def encode(template: ChatTemplate, rows: Sequence[ReadyRow], max_length: int) -> Iterator[EncodedRow]:
    """Tokenise a batch of rows, all of one format; a row has at most `max_length` tokens."""
    contents = [row.content for row in rows]
    rendered = [content for content in contents if isinstance(content, Rendered)]
    if rendered:
        yield from _conversations(template, rows, rendered, max_length)
        return
    texts = [content.text for content in contents if isinstance(content, Document)]
    documents = iter(plain_rows.encode_documents(template, texts, max_length) if texts else [])
    for row, content in zip(rows, contents, strict=True):
        pieces = [plain_rows.encode_tokens(content, max_length)] if isinstance(content, TokenRow) else next(documents)
        for tokens in pieces:
            prompt, reference = plain_rows.continuation(template, tokens) if row.split == "test" else (None, "")
            yield EncodedRow(row.split, tokens, row.last, prompt, reference)


def _conversations(
    template: ChatTemplate, rows: Sequence[ReadyRow], rendered: Sequence[Rendered], max_length: int
) -> Iterator[EncodedRow]:
    encoded = masking.encode(template, rendered, max_length)
    tested = [content for row, content in zip(rows, rendered, strict=True) if row.split == "test"]
    prompts = iter(masking.encode_prompts(template, tested) if tested else [])
    for row, content, tokens in zip(rows, rendered, encoded, strict=True):
        prompt = next(prompts) if row.split == "test" else None
        yield EncodedRow(row.split, tokens, row.last, prompt, content.reference, content)
