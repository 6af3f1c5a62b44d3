"""What an answer thinks before it says something: told apart in generated text, which still has its special tokens."""

from __future__ import annotations

import re

from pydantic import Field

from lora_contract.base import StatusModel


class ThoughtForm(StatusModel):
    """The texts around what is thought and what is said, as a chat template writes them, without white space.

    The defaults are those of a template that shows no reasoning: its model may think all the same.
    """

    open: str = Field(
        "", description="In front of what is thought; empty: the prompt has it, or the answer may lack it."
    )
    close: str = Field("</think>", description="Behind what is thought.")
    content: str = Field("", description="In front of what is said, where the template names a channel for it.")
    opened: bool = Field(
        False, description="The prompt opens the thought: an answer that does not close it says nothing."
    )


def behind_thought(form: ThoughtForm, answer: str) -> str:
    """Drop what is thought at the beginning of an answer; all of an answer that does not get beyond its thought."""
    rest, thinks = answer, not form.open
    while thinks or (form.open and rest.lstrip().startswith(form.open)):
        _, closed, behind = rest.partition(form.close)
        if not closed:
            return "" if form.open or form.opened else rest
        rest, thinks = behind, False
    return rest


def said(form: ThoughtForm, answer: str, special: re.Pattern[str]) -> str:
    """Give what an answer says to its reader, or which tools it calls: without its thought and special tokens."""
    rest = behind_thought(form, answer)
    if form.content:
        before, _, behind = rest.rpartition(form.content)
        rest = behind or before
    return special.sub("", rest).strip()
