"""The model's tokenizer and chat template: what is checked once a model, before any row is rendered.

transformers renders templates in a sandbox; nothing of a model repository is executed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from lora_trainer.data.rows import Message
from lora_trainer.errors import TrainerError, unsupported

_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
#: Templates that write today's date (Llama 3) write this one, their own default: rows must not depend on the day.
_DATE = "26 Jul 2024"
_PROBE = (Message("user", "first question"), Message("assistant", "first answer"))
_SYSTEM_PROBE = "words of the system"


class TemplateRefusal(Exception):  # noqa: N818 - a verdict of the template on a row
    """The template raised an error on a conversation."""


class ChatTemplate:
    """Renders conversations of one model. Build it with `load`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, model: str) -> None:
        """`model` is the name that messages use."""
        self.tokenizer = tokenizer
        self.model = model
        self._source: str = tokenizer.get_chat_template()
        self._variables = {**tokenizer.special_tokens_map, "date_string": _DATE}
        #: The template itself marks what the assistant says.
        self.marked = _GENERATION_MARK.search(self._source) is not None
        special = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special} | set(
            tokenizer.all_special_tokens
        )
        self.special_ids = frozenset(tokenizer.convert_tokens_to_ids(sorted(special)))
        longest_first = sorted(special, key=lambda token: (-len(token), token))
        self.special_tokens = tuple(longest_first)
        #: Finds a special token in a text.
        self.special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self.keeps_system = False

    def render(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> str:
        """The conversation as one text with special tokens.

        Raises:
            TemplateRefusal: the template raised an error.
        """
        return self._render(messages, add_generation_prompt=generation_prompt)[0]

    def render_marked(self, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
        """The text, and the character spans inside the template's generation marks."""
        text, spans = self._render(messages, return_assistant_tokens_mask=True)
        return text, [(start, end) for start, end in spans if start < end]

    def _render(self, messages: Sequence[Message], **options: Any) -> tuple[str, list[tuple[int, int]]]:
        conversation = [message.as_dict() for message in messages]
        try:
            texts, spans = render_jinja_template(
                [conversation], chat_template=self._source, **options, **self._variables
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            raise TemplateRefusal(str(error)) from error
        return texts[0], spans[0] if spans else []

    def check(self) -> None:
        """Find out what the template does with a system turn and a generation prompt.

        Raises:
            TrainerError: the template cannot be trained with.
        """
        try:
            whole = self.render(_PROBE)
            prompt = self.render(_PROBE[:1], generation_prompt=True)
        except TemplateRefusal as error:
            raise unsupported(
                f"the chat template of {self.model} refuses a plain question and answer: {error}",
                param="spec.model.id",
                hint="use an instruct model",
            ) from error
        if _PROBE[1].content not in whole:
            raise unsupported(
                f"the chat template of {self.model} leaves out what the assistant says",
                param="spec.model.id",
                hint="use an instruct model",
            )
        if not self.marked and not self._answer_follows(whole, prompt):
            raise unsupported(
                f"the chat template of {self.model} does not begin an answer as it is asked for at inference,"
                " so the tokens of the answer cannot be told apart",
                param="spec.model.id",
                hint="use a model whose template supports add_generation_prompt, or has generation marks",
            )
        self.keeps_system = self._keeps_system()

    def _answer_follows(self, whole: str, prompt: str) -> bool:
        """Whether the answer begins where the prompt ends. Where the template knows no generation prompt (Mistral's
        does not need one) nothing may stand between the two."""
        if not whole.startswith(prompt):
            return False
        ignored = prompt == self.render(_PROBE[:1])
        return not ignored or whole[len(prompt) :].lstrip().startswith(_PROBE[1].content)

    def _keeps_system(self) -> bool:
        try:
            return _SYSTEM_PROBE in self.render((Message("system", _SYSTEM_PROBE), *_PROBE))
        except TemplateRefusal:
            return False

    def no_system(self) -> str:
        """The words for a system turn that the template would drop or refuse."""
        return f"the chat template of {self.model} drops or refuses system turns"


def load(folder: Path, model: str) -> ChatTemplate:
    """The checked chat template of the model whose tokenizer files lie in `folder`.

    Raises:
        TrainerError: the files are missing or broken, or the template cannot be trained with.
    """
    if not (folder / "tokenizer.json").is_file():
        raise _no_tokenizer(model, "has no tokenizer.json")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the Rust library raises bare Exception for a broken file
        raise _no_tokenizer(model, f"has tokenizer files that cannot be read ({error})") from error
    if not tokenizer.chat_template:
        raise unsupported(
            f"{model} has no chat template",
            param="spec.model.id",
            hint="use an instruct model, or add chat_template.jinja to the model's files",
        )
    try:
        template = ChatTemplate(tokenizer, model)
    except ValueError as error:
        raise unsupported(f"{model} has no default chat template: {error}", param="spec.model.id") from error
    template.check()
    return template


def _no_tokenizer(model: str, problem: str) -> TrainerError:
    return unsupported(
        f"{model} {problem}",
        param="spec.model.id",
        hint="add tokenizer.json: AutoTokenizer.from_pretrained(...).save_pretrained(...) writes it",
    )
