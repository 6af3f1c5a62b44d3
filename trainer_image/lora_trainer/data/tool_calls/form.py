"""How a chat template writes calls of tools, as plain values: found by prepare, used where answers are judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lora_contract.base import StatusModel
from lora_trainer.data.thought import ThoughtForm


class ToolCallForm(StatusModel):
    """The texts around the parts of a call. White space in them stands for any white space, also none.

    A block of calls is `open` call `close`, then for each further call either `open` again, or `next` and no `open`.
    A call is, by its kind:

    * `call`: a JSON object that holds the name under `name_key` and the arguments under `arguments_key`;
    * `arguments`: the name, `behind_name`, and one object with all arguments;
    * `parameters`: the name, `behind_name`, and for each argument `parameter_open`, its name, `parameter_mid`, its
      value, `parameter_close`, with `parameter_next` in front of each but the first.
    """

    kind: Literal["call", "arguments", "parameters"] = Field(description="How name and arguments are put together.")
    open: str = Field(description="In front of the first call.")
    next: str | None = Field(None, description="In front of a further call; absent: `open` is.")
    close: str = Field("", description="Behind a call.")
    name_key: str = Field("", description="Key of the name.")
    arguments_key: str = Field("", description="Key of the arguments.")
    behind_name: str = Field("", description="Behind the name.")
    notation: Literal["json", "literal", "text"] = Field(
        "json",
        description="How values are written: as JSON; as JSON with keys and quotes of other languages; texts as they"
        " are and other values as literals.",
    )
    quote: str | None = Field(None, description="What stands around texts of literals, where it is no quotation mark.")
    parameter_open: str = Field("", description="In front of the name of an argument.")
    parameter_mid: str = Field("", description="Between name and value of an argument.")
    parameter_close: str = Field("", description="Behind the value of an argument.")
    parameter_next: str = Field("", description="Between two arguments.")
    thought: ThoughtForm = Field(ThoughtForm(), description="What is around the thought in front of calls.")
