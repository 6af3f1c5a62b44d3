"""Supervised fine-tuning: the answers of a conversation are learned, or all tokens of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import known_tokens
from lora_trainer.data.conversations import plain_rows
from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.known_tokens import Known, RowTokens
from lora_trainer.data.objective.row_objective import EncodedRow, Example, ReadyRow
from lora_trainer.data.rows import Conversation
from lora_trainer.data.template import masking, unrolling
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.unrolling import Rendered


class SupervisedRows:
    """Rows of supervised fine-tuning."""

    preference = None

    def __init__(self, spec: LoRAFineTuneSpec, template: ChatTemplate, known: Known | None = None) -> None:
        """`spec.training` says which answers count, and how long a row may be.

        `known` has the tokens of sources that an earlier prepare left; of the others all are made.
        """
        self._template = template
        self._known = known or {}
        self._train_on = spec.training.train_on
        self.longest = spec.training.max_length

    def examples(self, conversation: Conversation) -> list[Rendered]:
        """Unroll a conversation: a row, or several where the chat template rewrites earlier turns."""
        return list(unrolling.unroll(self._template, conversation, self._train_on))

    def answers(self, conversation: Conversation, examples: Sequence[Example]) -> Mapping[str, int]:
        """Count answers that are learned, and the others by the reason why not."""
        reasons = unrolling.reasons(conversation.messages, self._train_on)
        found: Counter[str] = Counter(reason or "trained" for reason in reasons)
        answers = [message for message in conversation.messages if message.role == "assistant"]
        found["weighted"] = sum(
            reason is None and message.weight != 1 for reason, message in zip(reasons, answers, strict=True)
        )
        found["without_reasoning"] = sum(row.empty_thoughts for row in examples if isinstance(row, Rendered))
        return found

    def encode(self, rows: Sequence[ReadyRow]) -> Iterator[EncodedRow]:
        """Tokenise conversations, documents or rows of tokens."""
        contents = [row.content for row in rows]
        rendered = [content for content in contents if isinstance(content, Rendered)]
        if rendered:
            yield from self._conversations(rows, rendered)
            return
        template, max_length = self._template, self.longest
        documents = iter(self._documents([content for content in contents if isinstance(content, Document)], rows))
        for row, content in zip(rows, contents, strict=True):
            if isinstance(content, TokenRow):
                pieces = [plain_rows.encode_tokens(content, max_length)]
            else:
                pieces = plain_rows.rows_of_document(next(documents).tokens.input_ids, max_length)
            for tokens in pieces:
                prompt, reference = plain_rows.continuation(template, tokens) if row.split == "test" else (None, "")
                yield EncodedRow(row.split, tokens, row.last, prompt, reference)

    def _documents(self, documents: Sequence[Document], rows: Sequence[ReadyRow]) -> Sequence[RowTokens]:
        def made(indices: Sequence[int]) -> list[RowTokens]:
            texts = [documents[index].text for index in indices]
            return [RowTokens(tokens) for tokens in plain_rows.tokenise_documents(self._template, texts)]

        return self._tokens(rows, documents, made) if documents else []

    def _conversations(self, rows: Sequence[ReadyRow], rendered: Sequence[Rendered]) -> Iterator[EncodedRow]:
        def made(indices: Sequence[int]) -> list[RowTokens]:
            encoded = masking.encode(self._template, [rendered[index] for index in indices], self.longest)
            tested = [rendered[index] for index in indices if rows[index].split == "test"]
            prompts = iter(masking.encode_prompts(self._template, tested))
            return [
                RowTokens(tokens, next(prompts) if rows[index].split == "test" else None)
                for index, tokens in zip(indices, encoded, strict=True)
            ]

        for row, content, found in zip(rows, rendered, self._tokens(rows, rendered, made), strict=True):
            yield EncodedRow(row.split, found.tokens, row.last, found.prompt, content.reference, content)

    def _tokens(
        self,
        rows: Sequence[ReadyRow],
        contents: Sequence[Rendered | Document],
        made: Callable[[Sequence[int]], list[RowTokens]],
    ) -> list[RowTokens]:
        """Give the tokens of rows, which are all of one source: known ones, and others as `made` makes them."""
        known = self._known.get(rows[0].source)
        if known is None:
            return made(range(len(rows)))
        tested = (row.split == "test" for row in rows)
        keys = [known_tokens.key_of(content, tested=test) for content, test in zip(contents, tested, strict=True)]
        return known.encoded(keys, made)
