"""spec.chat: how conversations become text."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import StorageUri, cel_string, documented

#: Longest chat template in characters; those of today's models have 20 thousand at most.
LONGEST_TEMPLATE = 131072
ARGUMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
#: What servers give to a template themselves.
_TAKEN = ("messages", "tools", "documents", "add_generation_prompt")

ArgumentText = Annotated[str, StringConstraints(max_length=1024)]


class ChatSpec(SpecModel):
    """The chat template. It is published with the adapter as it was trained with, arguments included."""

    template: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEMPLATE)] | None = documented(
        None,
        "Jinja source of the chat template, instead of the one in the model's files.",
        "{% for m in messages %}...",
    )
    template_uri: StorageUri | None = documented(
        None, "Object with the Jinja source, instead of the one in the model's files.", "s3://models/chat.jinja"
    )
    template_args: Annotated[dict[str, ArgumentText], Field(max_length=16)] = documented(
        {},
        "Variables of the template with the values that the server will give it, as texts:"
        " 'true', 'false' and numbers are read as such.",
        {"enable_thinking": "false"},
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.template) && has(self.templateUri))",
            message="set at most one of chat.template and chat.templateUri",
            holds=lambda c: c.template is None or c.template_uri is None,
        ),
        Rule(
            cel=f"self.templateArgs.all(k, k.matches({cel_string(ARGUMENT_NAME)}))",
            message="chat.templateArgs has a key that is no name of a variable; write letters, digits and _",
            holds=lambda c: all(re.fullmatch(ARGUMENT_NAME, key, re.ASCII) for key in c.template_args),
        ),
        Rule(
            cel=f"!self.templateArgs.exists(k, k in {list(_TAKEN)})",
            message=f"chat.templateArgs must not set {', '.join(_TAKEN)}: servers give them to the template",
            holds=lambda c: not set(_TAKEN) & c.template_args.keys(),
        ),
    )
