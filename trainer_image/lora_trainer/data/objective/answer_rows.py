"""Preference tuning: answers are compared, each behind the prompt as the server shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lora_contract.counts import counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import prepared
from lora_trainer.data.objective.row_objective import Answers, EncodedRow, Example, ReadyRow
from lora_trainer.data.rows import BadRow, Conversation
from lora_trainer.data.template import masking, unrolling
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.unrolling import Rendered

_CHOSEN, _REJECTED, _ONE = "the chosen answer", "the rejected answer", "the answer"


class _AnswerRows:
    """What pairs and answers with a label have in common."""

    def __init__(self, spec: LoRAFineTuneSpec, template: ChatTemplate) -> None:
        """`spec.training` says which turns of an answer count, and how long a prompt with its answer may be."""
        self._template = template
        self._train_on = spec.training.train_on
        self._max_length = spec.training.max_length

    def answers(self, conversation: Conversation, examples: Sequence[Example]) -> Mapping[str, int]:
        """Count the turns of the assistant that count."""
        rendered = [each for example in examples if isinstance(example, Answers) for each in example.all]
        return {
            "trained": sum(len(each.spans) for each in rendered),
            "without_reasoning": sum(each.empty_thoughts for each in rendered),
        }

    def _rendered(self, conversation: Conversation, which: str) -> Rendered:
        """Render a prompt with one answer; no turn of the prompt counts."""
        messages = tuple(
            message._replace(left_out="earlier") if index < conversation.asked else message
            for index, message in enumerate(conversation.messages)
        )
        try:
            found = list(unrolling.unroll(self._template, conversation._replace(messages=messages), self._train_on))
        except BadRow as error:
            raise BadRow(f"with {which}: {error.problem}", error.hint) from error
        if len(found) > 1:
            raise BadRow(
                f"{which} has several turns of the assistant, and the chat template of {self._template.model} writes"
                " the first ones otherwise once others follow, so there is no one text to compare",
                "put all turns before the last answer into the prompt, or set training.trainOn: last",
            )
        return found[0]

    def _encoded(self, rows: Sequence[ReadyRow]) -> Iterator[tuple[ReadyRow, Answers, list[Encoded], list[int] | None]]:
        """Yield each row with its answers, their tokens, and the tokens of its prompt where it is a test row."""
        answers = [row.content for row in rows if isinstance(row.content, Answers)]
        rendered = [each for content in answers for each in content.all]
        encoded = iter(masking.encode(self._template, rendered, self._max_length))
        tested = [content.chosen for row, content in zip(rows, answers, strict=True) if row.split == "test"]
        prompts = iter(masking.encode_prompts(self._template, tested) if tested else [])
        for row, content in zip(rows, answers, strict=True):
            tokens = [next(encoded) for _ in content.all]
            yield row, content, tokens, next(prompts) if row.split == "test" else None

    def _cut(self, which: str, tokens: Encoded) -> BadRow | None:
        """Refuse an answer that is cut: nobody preferred what is left of it."""
        if tokens.full_length <= self._max_length:
            return None
        return BadRow(
            f"{which} is cut: with its prompt it has {counted(tokens.full_length, 'token')}, training.maxLength is"
            f" {self._max_length}",
            f"raise training.maxLength to {tokens.full_length} or more, shorten the row, or set"
            " dataset.onBadRows: Skip to leave such rows out",
        )


class PairRows(_AnswerRows):
    """Rows of direct preference optimisation: a pair becomes one row, the chosen copy before the rejected one."""

    preference = prepared.REJECTED_FROM

    @property
    def longest(self) -> int:
        """The most tokens that a row may have: those of both copies."""
        return 2 * self._max_length

    def examples(self, conversation: Conversation) -> list[Answers]:
        """Render both answers of a pair."""
        chosen = self._rendered(conversation, _CHOSEN)
        rejected = self._rendered(conversation.with_rejected, _REJECTED)
        if chosen.text == rejected.text:
            raise BadRow(
                f"both answers are the same text as the chat template of {self._template.model} writes them, so neither"
                " is preferred",
                "leave the row out",
            )
        return [Answers(chosen, rejected)]

    def encode(self, rows: Sequence[ReadyRow]) -> Iterator[EncodedRow]:
        """Tokenise pairs."""
        for row, content, (chosen, rejected), prompt in self._encoded(rows):
            both = Encoded(
                np.concatenate([chosen.input_ids, rejected.input_ids]),
                np.concatenate([chosen.targets, rejected.targets]),
                chosen.full_length + rejected.full_length,
            )
            yield EncodedRow(
                row.split,
                both,
                row.last,
                prompt,
                content.chosen.reference,
                content.chosen,
                preference=len(chosen.input_ids),
                place=row.place,
                bad=self._cut(_CHOSEN, chosen) or self._cut(_REJECTED, rejected),
            )


class LabelledRows(_AnswerRows):
    """Rows of Kahneman-Tversky optimisation: an answer with a label."""

    preference = prepared.DESIRABLE

    @property
    def longest(self) -> int:
        """The most tokens that a row may have."""
        return self._max_length

    def examples(self, conversation: Conversation) -> list[Answers]:
        """Render an answer."""
        return [Answers(self._rendered(conversation, _ONE), desirable=conversation.desirable)]

    def encode(self, rows: Sequence[ReadyRow]) -> Iterator[EncodedRow]:
        """Tokenise answers."""
        for row, content, (tokens,), prompt in self._encoded(rows):
            yield EncodedRow(
                row.split,
                tokens,
                row.last,
                prompt,
                content.chosen.reference,
                content.chosen,
                preference=content.desirable,
                place=row.place,
                bad=self._cut(_ONE, tokens),
            )
