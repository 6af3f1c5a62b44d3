"""Supervised fine-tuning: the answers of a conversation are learned, or all tokens of a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data.conversations import plain_rows
from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.objective.row_objective import EncodedRow, Example, ReadyRow
from lora_trainer.data.rows import Conversation
from lora_trainer.data.template import masking, unrolling
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.unrolling import Rendered


class SupervisedRows:
    """Rows of supervised fine-tuning."""

    preference = None

    def __init__(self, spec: LoRAFineTuneSpec, template: ChatTemplate) -> None:
        """`spec.training` says which answers count, and how long a row may be."""
        self._template = template
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
        texts = [content.text for content in contents if isinstance(content, Document)]
        documents = iter(plain_rows.encode_documents(template, texts, max_length) if texts else [])
        for row, content in zip(rows, contents, strict=True):
            if isinstance(content, TokenRow):
                pieces = [plain_rows.encode_tokens(content, max_length)]
            else:
                pieces = next(documents)
            for tokens in pieces:
                prompt, reference = plain_rows.continuation(template, tokens) if row.split == "test" else (None, "")
                yield EncodedRow(row.split, tokens, row.last, prompt, reference)

    def _conversations(self, rows: Sequence[ReadyRow], rendered: Sequence[Rendered]) -> Iterator[EncodedRow]:
        encoded = masking.encode(self._template, rendered, self.longest)
        tested = [content for row, content in zip(rows, rendered, strict=True) if row.split == "test"]
        prompts = iter(masking.encode_prompts(self._template, tested) if tested else [])
        for row, content, tokens in zip(rows, rendered, encoded, strict=True):
            prompt = next(prompts) if row.split == "test" else None
            yield EncodedRow(row.split, tokens, row.last, prompt, content.reference, content)
