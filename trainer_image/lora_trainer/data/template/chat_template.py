"""The chat template of a model: rendering, and what is checked once a model, before any row is rendered.

transformers compiles templates for a sandbox; no code of a model repository is executed here. What a template can read
beside the conversation is the same for every row and every day: the date is given, and draws begin anew each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import Any
from weakref import WeakSet

from lora_contract import spec_paths

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from transformers import PreTrainedTokenizerFast

from lora_trainer.data.rows import NO_TOOLS, CallForm, Message, Toolset
from lora_trainer.data.template import answer_text, template_refusal, thought_form, tool_form
from lora_trainer.data.template.pieces import PieceTokenizer
from lora_trainer.data.template.rendering import CompiledTemplate
from lora_trainer.data.template.special_tokens import any_of, special_tokens
from lora_trainer.data.template.template_refusal import TemplateRefusal
from lora_trainer.data.template.tool_form import ToolSupport
from lora_trainer.data.thought import ThoughtForm
from lora_trainer.errors import unsupported

#: Templates that take a date from outside (Llama 3) write this one, their own default: rows must not depend on the day.
_DATE = date(2024, 7, 26)
_DATE_STRING = "26 Jul 2024"
_PROBE = (Message("user", "first question"), Message("assistant", "first answer"))
_LONG_PROBE = (*_PROBE, Message("user", "second question"), Message("assistant", "second answer"))
_NEXT_PROBE = Message("user", "second question")
_SYSTEM_PROBE = "words of the system"
_NAME_PROBE = "name_of_the_user"


class ChatTemplate:
    """Renders conversations of one model. `template_files.load` builds it."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, model: str, ends: Iterable[str] = ()) -> None:
        """`model` is the name that messages use; `ends` are the tokens that its generation config ends answers at."""
        self.tokenizer = tokenizer
        self.model = model
        #: The field of the spec that the template comes from.
        self.param = spec_paths.MODEL_ID
        self.listed_ends = frozenset(ends)
        #: Tokens at which servers end answers; the tokenizer's own is one even where nothing lists it.
        self._served_ends = self.listed_ends | {str(tokenizer.eos_token)}
        self._source: str = tokenizer.get_chat_template()
        #: Some models have a template of its own for conversations with tools.
        self._source_with_tools: str = tokenizer.get_chat_template(tools=list(tool_form.TOOLS.functions))
        # What transformers gives to templates as strftime_now reads the clock of each pod anew.
        self._variables = {
            "strftime_now": self._strftime,
            **tokenizer.special_tokens_map,
            "date_string": _DATE_STRING,
        }
        #: The date for a template that reads the clock.
        self.today = _DATE
        #: The template asked for today's date, in `check` or since.
        self.reads_clock = False
        special = special_tokens(tokenizer)
        self.special_ids = frozenset(tokenizer.convert_tokens_to_ids(sorted(special)))
        #: Finds a special token in a text.
        self.special = any_of(special)
        #: Tools that were found to hold no special token.
        self.harmless_tools: WeakSet[Toolset] = WeakSet()
        self.keeps_system = False
        self._knows_developer = False

    def render(self, messages: Sequence[Message], tools: Toolset = NO_TOOLS, *, generation_prompt: bool = False) -> str:
        """Render the conversation as one text with special tokens.

        Raises:
            TemplateRefusal: the template raised an error.
        """
        return self.render_turns(self.turns(messages), tools, generation_prompt=generation_prompt)

    def turns(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Convert messages to the form in which the template reads them."""
        form = self.tools.form if any(message.tool_calls for message in messages) else CallForm()
        return self._turns(messages, form)

    def _turns(self, messages: Sequence[Message], form: CallForm) -> list[dict[str, Any]]:
        turns = [message.as_dict(form) for message in messages]
        if turns and turns[0]["role"] == "developer" and not self._knows_developer:
            turns[0]["role"] = "system"
        return turns

    def render_turns(
        self, turns: Sequence[dict[str, Any]], tools: Toolset = NO_TOOLS, *, generation_prompt: bool = False
    ) -> str:
        """Render turns in the form that `turns` gives them; they hold nothing but JSON.

        Raises:
            TemplateRefusal: the template raised an error.
        """
        try:
            compiled = self._compiled_for_tools if tools else self._compiled
            return compiled.render(turns, tools, generation_prompt=generation_prompt)
        except Exception as error:  # templates are programs: they raise whatever Python can
            raise template_refusal.of(error) from error

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        return CompiledTemplate(self._source, self._variables)

    @cached_property
    def _compiled_for_tools(self) -> CompiledTemplate:
        same = self._source_with_tools == self._source
        return self._compiled if same else CompiledTemplate(self._source_with_tools, self._variables)

    @cached_property
    def pieces(self) -> PieceTokenizer:
        """Tokenises rendered rows."""
        return PieceTokenizer(self.tokenizer.backend_tokenizer)

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
                param=self.param,
                hint=self._remedy("use an instruct model"),
            ) from error
        if _PROBE[1].content not in whole:
            raise unsupported(
                f"the chat template of {self.model} leaves out what the assistant says",
                param=self.param,
                hint=self._remedy("use an instruct model"),
            )
        if not self._answer_follows(whole, prompt):
            raise unsupported(
                f"the chat template of {self.model} does not begin an answer as it is asked for at inference,"
                " so the tokens of the answer cannot be told apart",
                param=self.param,
                hint=self._remedy("use a model whose template supports add_generation_prompt"),
            )
        self.keeps_system = self._shows(_SYSTEM_PROBE, Message("system", _SYSTEM_PROBE), *_PROBE)
        self._knows_developer = True
        self._knows_developer = self._shows(_SYSTEM_PROBE, Message("developer", _SYSTEM_PROBE), *_PROBE)
        self._render_long()
        _ = self.tools  # so that a template which reads the clock for tools alone is known

    def _remedy(self, of_a_model: str) -> str:
        """Say what to do about a template that cannot be trained with: it is the model's, or the user's own."""
        return of_a_model if self.param == spec_paths.MODEL_ID else f"correct the template in {self.param}"

    def _render_long(self) -> None:
        """Render what only longer conversations reach, so that a template which reads the clock there is known."""
        try:
            self.render(_LONG_PROBE)
        except TemplateRefusal:
            return  # judged again with the rows that are so long

    def _answer_follows(self, whole: str, prompt: str) -> bool:
        """Tell whether the answer begins where the prompt ends.

        Where the template knows no generation prompt (Mistral's does not need one) nothing may stand between the two.
        """
        said = answer_text.continuation(prompt, whole, _PROBE[1])
        if said is None:
            return False
        ignored = prompt == self.render(_PROBE[:1])
        return not ignored or said.lstrip().startswith(_PROBE[1].content)

    def _shows(self, words: str, *messages: Message) -> bool:
        try:
            return words in self.render(messages)
        except TemplateRefusal:
            return False

    @cached_property
    def tools(self) -> ToolSupport:
        """What the text shows of tools."""
        return tool_form.find(lambda turns, tools, form: self.render_turns(self._turns(turns, form), tools))

    @cached_property
    def thought(self) -> ThoughtForm:
        """How it writes what an answer thinks before it says something."""
        return thought_form.find(self.said)

    def said(self, answer: Message) -> str | None:
        """Render what an answer to a short question adds to its prompt; None: it is refused, or not found there."""
        tools = tool_form.TOOLS if answer.tool_calls else NO_TOOLS
        try:
            prompt = self.render(_PROBE[:1], tools, generation_prompt=True)
            whole = self.render([_PROBE[0], answer], tools)
        except TemplateRefusal:
            return None
        return answer_text.continuation(prompt, whole, answer)

    @cached_property
    def shows_names(self) -> bool:
        """Whether the text says who speaks, where a turn has a name."""
        return self._shows(_NAME_PROBE, Message("user", "first question", name=_NAME_PROBE), _PROBE[1])

    def stop(self, said: str, end: int, *, calls: bool) -> str | None:
        """Find what stands behind character `end` of an answer, up to and with its stop token; None: it has none.

        An answer ends as `answer_text.end_of_stop` says; one that calls tools, whose format has special tokens of its
        own, at the first token that ends answers, or else at its last special one. Where the template writes none, as
        GLM's, it is the token that the next turn begins with, if the generation config lists that as an end.
        """
        if calls:
            found = self.ends.search(said, end)
            stop = found.end() if found is not None else None
        else:
            stop = answer_text.end_of_stop(said, end, self.special, self._served_ends)
        follows = self._next_turn(calls=calls) if stop is None else None
        if follows is not None:
            return said[end:] + follows
        if stop is None and calls:
            stop = max((found.end() for found in self.special.finditer(said, end)), default=None)
        return said[end:stop] if stop is not None else None

    @cached_property
    def ends(self) -> re.Pattern[str]:
        """Finds a token that ends answers: those that servers know, and the one behind an answer without calls."""
        whole = self.render(_PROBE)
        stop = self.stop(whole, whole.rindex(_PROBE[1].content) + len(_PROBE[1].content), calls=False)
        last = [found[0] for found in self.special.finditer(stop or "")][-1:]
        return any_of({*self._served_ends, *last})

    def _next_turn(self, *, calls: bool) -> str | None:
        """Find what follows an answer, up to and with the first token of the next turn, if that ends answers."""
        turns = tool_form.PROBE if calls else (*_PROBE, _NEXT_PROBE)
        offered = tool_form.TOOLS if calls else NO_TOOLS
        whole, longer = self.render(turns[:2], offered), self.render(turns[:3], offered)
        found = self.special.search(longer, len(whole)) if longer.startswith(whole) else None
        if found is None or found[0] not in self.listed_ends or longer[len(whole) : found.start()].strip():
            return None
        return longer[len(whole) : found.end()]

    def no_system(self) -> str:
        """Say that the template drops or refuses system turns."""
        return f"the chat template of {self.model} drops or refuses system turns"
