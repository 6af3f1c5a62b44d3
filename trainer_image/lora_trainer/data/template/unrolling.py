"""From a conversation to rows: each answer stands behind exactly what the server is asked for it.

For each answer that counts the text is the template's rendering of everything before it, with the generation prompt,
then what the model has to say, then its stop token. Where the text of one answer is the beginning of the next one's
prompt, and so are its tokens, both are one row. A template that rewrites earlier turns (Qwen3 leaves out earlier
reasoning) makes several rows of a conversation. What some templates write behind the stop token (a line break, an
end-of-text token) is no target: at inference it is never asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lora_contract.counts import counted
from lora_trainer.data.rows import BadRow, Conversation, LeftOut, Message, ToolCall
from lora_trainer.data.template import answer_text, seams
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.thought import ThoughtForm, behind_thought, said

TrainOn = Literal["assistant", "last", "all"]

#: Most characters that the rows of one conversation may have together: a row of 1 MiB could become thousands.
_MOST_CHARACTERS = 64 << 20


@dataclass(frozen=True)
class Rendered:
    """A row as text. `spans` are the characters that count; `prompt` is what its last answer answers.

    `weights` are those of the spans, empty where all of them are 1. `empty_thoughts` is the number of its answers that
    count and begin with an empty think block. `tool_calls` are the calls of its last answer; None: the conversation
    offers no tools.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    prompt: str
    reference: str
    empty_thoughts: int = 0
    tool_calls: tuple[ToolCall, ...] | None = None
    weights: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.text)


class AnswerNotFound(Exception):  # noqa: N818 - becomes a TrainerError with the place of the row
    """The template does not render an answer where the server asks for it, or not to its end."""

    def __init__(self, problem: str, hint: str = "change or remove such conversations, or use another model") -> None:
        super().__init__(problem)
        self.hint = hint


def reasons(messages: Sequence[Message], train_on: TrainOn) -> list[LeftOut | None]:
    """Tell for each answer, in order, why it does not count; None: it counts."""
    found = [message.left_out for message in messages if message.role == "assistant"]
    if train_on == "last":
        found[:-1] = [reason or "earlier" for reason in found[:-1]]
    return found


def unroll(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> Iterator[Rendered]:
    """Yield the rows of a conversation, in the order of its answers.

    Raises:
        BadRow: a text holds a special token, or something that the row says would be lost.
        TemplateRefusal: the template raised an error.
        AnswerNotFound: an answer is not where the server asks for it.
    """
    messages = conversation.messages
    _check_texts(template, conversation)
    if train_on == "all":
        _check_all(conversation)
    indices = [index for index, message in enumerate(messages) if message.role == "assistant"]
    reason_of = dict(zip(indices, reasons(messages, train_on), strict=True))
    chosen = [index for index in indices if reason_of[index] is None]
    if not chosen:
        raise BadRow(
            "has no answer that counts: its last one has weight 0 or train false, and training.trainOn is last",
            "leave the row out, or set training.trainOn: assistant",
        )
    characters = rows = 0
    answers: list[_Answer] = []
    turns = template.turns(messages)
    for index in chosen:
        answer = _answer(template, conversation, turns[: index + 1])
        if answers and not _goes_on(template, answers[-1], answer):
            yield _row(template, conversation, answers, whole=train_on == "all" and not rows)
            rows, answers = rows + 1, []
            characters += len(answer.text)
            if characters > _MOST_CHARACTERS:
                raise BadRow(
                    f"becomes more than {_MOST_CHARACTERS >> 20} million characters: the chat template of"
                    f" {template.model} rewrites earlier turns, so each answer is a row with all turns before it",
                    "split the conversation",
                )
        answers.append(answer)
    yield _row(template, conversation, answers, whole=train_on == "all" and not rows)


@dataclass(frozen=True)
class _Answer:
    """An answer with what it answers; `rendered` goes on behind the stop token as the template does."""

    message: Message
    prompt: str
    text: str
    rendered: str


def _goes_on(template: ChatTemplate, before: _Answer, answer: _Answer) -> bool:
    """Tell whether two answers can be one row: same characters, and same tokens where the server joins in."""
    if not answer.prompt.startswith(before.text):
        return False
    return not seams.crosses(template, before.text, len(before.prompt))


def _row(template: ChatTemplate, conversation: Conversation, answers: Sequence[_Answer], *, whole: bool) -> Rendered:
    last = answers[-1]
    text = last.rendered if last.rendered.startswith(last.text) else last.text
    if last.message.tool_calls:
        reference = said(template.thought, last.text[len(last.prompt) :], template.special)
    else:
        reference = behind_thought(ThoughtForm(), last.message.content).strip()
    spans = tuple((len(answer.prompt), len(answer.text)) for answer in answers)
    thoughts = sum(answer_text.thinks_nothing(text[:start], text[start:end]) for start, end in spans)
    weights = tuple(answer.message.weight for answer in answers)
    return Rendered(
        text,
        ((0, len(text)),) if whole else spans,
        last.prompt,
        reference,
        thoughts,
        last.message.tool_calls if conversation.tools else None,
        () if all(weight == 1 for weight in weights) else weights,
    )


def _answer(template: ChatTemplate, conversation: Conversation, turns: Sequence[dict[str, Any]]) -> _Answer:
    """Render the answer that is the last of `turns`, the first turns of a conversation as the template reads them."""
    message = conversation.messages[len(turns) - 1]
    number = conversation.first + len(turns) - 1
    prompt = template.render_turns(turns[:-1], conversation.tools, generation_prompt=True)
    whole = template.render_turns(turns, conversation.tools)
    said = answer_text.continuation(prompt, whole, message)
    if said is None:
        if message.reasoning and answer_text.closes_thought(prompt):
            raise BadRow(
                f"turn {number} has reasoning_content, but the chat template of {template.model} asks for an answer"
                " without reasoning: its prompt closes the think block",
                "switch reasoning on with chat.templateArgs (enable_thinking: true for most templates), or set"
                " dataset.ignoreKeys: [reasoning_content]",
            )
        raise AnswerNotFound(
            f"the chat template of {template.model} does not render turn {number} where an answer is asked for at"
            " inference, so training would show other text than inference"
        )
    end = _end_of_pieces(template, said, message, number)
    stop = template.stop(said, end, calls=bool(message.tool_calls))
    if stop is None:
        raise AnswerNotFound(
            f"the chat template of {template.model} writes no stop token behind turn {number}, and"
            " generation_config.json lists none that the next turn begins with, so the model would never learn to stop",
            "name the token at which servers end answers as eos_token_id in generation_config.json",
        )
    return _Answer(message, prompt, prompt + said[:end] + stop, whole)


def _end_of_pieces(template: ChatTemplate, said: str, message: Message, number: int) -> int:
    """Find where what the row says of an answer ends.

    A template that leaves out some of it would train another answer, so the row is refused.
    """
    end = 0
    for key, piece in answer_text.pieces(message):
        found = said.find(piece, end)
        if found < 0:
            raise BadRow(
                f"turn {number}: the chat template of {template.model} leaves out {key}, or changes it",
                f"set dataset.ignoreKeys: [{key}] to train without it, or use a model whose template writes it"
                if key != "content"
                else "change the turn, or use another model",
            )
        end = found + len(piece)
    return end


def _check_all(conversation: Conversation) -> None:
    """Refuse what is not to be learned: with every token as a target nothing can be left out."""
    for number, message in enumerate(conversation.messages, start=conversation.first):
        if message.role == "tool":
            raise BadRow(
                f"turn {number} is the result of a tool, which is never learned, but training.trainOn is all",
                "set training.trainOn: assistant",
            )
        if message.left_out:
            raise BadRow(
                f"turn {number} is not to be learned ({message.left_out}), but training.trainOn is all",
                f"set training.trainOn: assistant, or dataset.ignoreKeys: [{message.left_out}]",
            )
        if message.weight != 1:
            raise BadRow(
                f"turn {number} has weight {message.weight:g}, but training.trainOn: all learns all tokens alike",
                "set training.trainOn: assistant, or dataset.ignoreKeys: [weight]",
            )


def _check_texts(template: ChatTemplate, conversation: Conversation) -> None:
    messages, tools, first = conversation.messages, conversation.tools, conversation.first
    if messages[0].role in ("system", "developer") and not template.keeps_system:
        raise BadRow(f"has a system turn, but {template.no_system()}", "move its text into the first user turn")
    _check_tools(template, conversation)
    for number, message in enumerate(messages, start=first):
        texts = [message.content, message.reasoning, message.name, message.tool_call_id]
        texts += [text for call in message.tool_calls for text in _texts(call)]
        _refuse_special(template, texts, f"turn {number} ({message.role})")
        if message.name and message.role != "tool" and not template.shows_names:
            raise BadRow(
                f"turn {number} has the name {message.name[:40]!r}, but the chat template of {template.model} shows no"
                " names",
                "write the name into the content, or set dataset.ignoreKeys: [name]",
            )
    if tools not in template.harmless_tools:
        _refuse_special(template, [text for tool in tools.functions for text in _texts(tool)], "a tool")
        template.harmless_tools.add(tools)


def _check_tools(template: ChatTemplate, conversation: Conversation) -> None:
    """Refuse what the template would not show of tools."""
    shown, problems = template.tools, []
    name = f"the chat template of {template.model}"
    if conversation.tools and not shown.offered:
        problems.append(f"offers tools, but {name} shows none")
    for number, message in enumerate(conversation.messages, start=conversation.first):
        if message.tool_calls and not shown.calls:
            problems.append(f"turn {number} calls a tool, but {name} shows no calls")
        if len(message.tool_calls) > 1 and not shown.parallel:
            calls = counted(len(message.tool_calls), "call")
            problems.append(f"turn {number} has {calls}, but {name} shows one a turn")
        if message.role == "tool" and not shown.results:
            problems.append(f"turn {number} is the result of a tool, but {name} shows no results")
    if problems:
        raise BadRow(problems[0], "use a model whose chat template shows them, or leave such rows out")


def _refuse_special(template: ChatTemplate, texts: Iterable[str], where: str) -> None:
    for text in texts:
        found = template.special.search(text)
        if found is not None:
            raise BadRow(
                f"{where} contains the special token {found[0]!r} of {template.model}",
                "remove it: the model would read it as the end or the start of a turn",
            )


def _texts(value: Any) -> Iterator[str]:
    """Yield everything that a template may write of a value: the whole as JSON, and each text of it as it is."""
    yield json.dumps(value, ensure_ascii=False)
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            left += [*inner, *inner.values()]
        elif isinstance(inner, list | tuple):
            left += inner
