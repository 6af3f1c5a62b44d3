"""The model's tokenizer and chat template: what is checked once a model, before any row is rendered.

transformers renders templates in a sandbox; no code of a model repository is executed here. What a template can read
beside the conversation is the same for every row and every day: the date is given, and draws begin anew each time.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jinja2

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

from lora_trainer.data.guard import CpuTimeExceeded
from lora_trainer.data.rows import Message
from lora_trainer.errors import TrainerError, unsupported

_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
#: Templates that take a date from outside (Llama 3) write this one, their own default: rows must not depend on the day.
_DATE = date(2024, 7, 26)
_DATE_STRING = "26 Jul 2024"
#: What jinja draws at random.
_DRAWS = re.compile(r"\b(random|lipsum)\b")
_PROBE = (Message("user", "first question"), Message("assistant", "first answer"))
_LONG_PROBE = (*_PROBE, Message("user", "second question"), Message("assistant", "second answer"))
_SYSTEM_PROBE = "words of the system"
_LONGEST_PROBLEM = 300


class TemplateRefusal(Exception):  # noqa: N818 - a verdict of the template on a row
    """The template raised an error on a conversation."""

    def __init__(self, problem: str, *, line: int | None = None, of_row: bool = False) -> None:
        """`line` is one of the template; `of_row`: it refuses this conversation on purpose and may accept others."""
        super().__init__(problem if line is None else f"{problem} (line {line} of the template)")
        self.of_row = of_row


class ChatTemplate:
    """Renders conversations of one model. Build it with `load`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, model: str) -> None:
        """`model` is the name that messages use."""
        self.tokenizer = tokenizer
        self.model = model
        self._source: str = tokenizer.get_chat_template()
        self._variables = {**tokenizer.special_tokens_map, "date_string": _DATE_STRING}
        #: The date for a template that reads the clock.
        self.today = _DATE
        self._draws = _DRAWS.search(self._source) is not None
        #: The template asked for today's date, in `check` or since.
        self.reads_clock = False
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
        if self._draws:
            random.seed(0)
        try:
            # What transformers gives to templates reads the clock of each pod anew.
            _compile_jinja_template(self._source).globals["strftime_now"] = self._strftime
            texts, spans = render_jinja_template(
                [conversation], chat_template=self._source, **options, **self._variables
            )
        except Exception as error:  # templates are programs: they raise whatever Python can
            raise _refusal(error) from error
        return texts[0], spans[0] if spans else []

    def _strftime(self, format: str) -> str:  # noqa: A002 - as transformers calls it
        self.reads_clock = True
        return datetime(self.today.year, self.today.month, self.today.day).strftime(format)

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
        self._render_long()

    def _render_long(self) -> None:
        """Render what only longer conversations reach, so that a template which reads the clock there is known."""
        try:
            self.render(_LONG_PROBE)
        except TemplateRefusal:
            return  # judged again with the rows that are so long

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


def _refusal(error: Exception) -> TemplateRefusal:
    """What an error inside a template means for the conversation."""
    # `raise_exception` of transformers raises this very class; jinja raises more special ones.
    of_row = type(error) is jinja2.TemplateError
    if isinstance(error, MemoryError):
        problem = "needs more memory than a row may take"
    elif isinstance(error, RecursionError):
        problem = "calls itself without end"
    elif of_row or isinstance(error, jinja2.TemplateError | CpuTimeExceeded):
        problem = str(error)
    else:
        problem = f"{type(error).__name__}: {error}"
    return TemplateRefusal(problem[:_LONGEST_PROBLEM], line=_line(error), of_row=of_row)


def _line(error: Exception) -> int | None:
    """The line of the template at which an error arose; jinja puts its lines into the stack trace."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


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
