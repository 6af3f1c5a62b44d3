"""The chat templates of models as their authors publish them, which the TRL package brings along, and conversations."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lora_trainer.data.template.chat_template import ChatTemplate

#: Templates of models that only take pictures with each text: plain texts are refused by the template itself.
FOR_PICTURES = ("idefics3", "llava_next", "smolvlm")
#: Tokens that end an answer by the model's generation_config.json, where its template does not write them.
LISTED_ENDS = {
    "cohere2": ("<|END_OF_TURN_TOKEN|>",),
    "gemma4": ("<eos>", "<turn|>", "<|tool_response>"),
    "glm4moe": ("<|endoftext|>", "<|user|>", "<|observation|>"),
    "gptoss": ("<|return|>", "<|endoftext|>", "<|call|>"),
}
_SPECIAL = re.compile(
    r"<\|[a-zA-Z_\"]+\|>|<\|[a-z_]+>|<[a-z_]+\|>|<\uff5c[^\uff5c]+\uff5c>|<(?:start|end)_of_turn>|<sop>|\[gMASK\]"
)


def _folder() -> Path:
    # Found, not imported: TRL imports torch.
    found = importlib.util.find_spec("trl")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "chat_templates"


def names() -> list[str]:
    """Names of the templates for text, without those that TRL changed for training."""
    found = (path.stem for path in sorted(_folder().glob("*.jinja")) if not path.stem.endswith("_training"))
    return [name for name in found if name not in FOR_PICTURES]


def source(name: str) -> str:
    """The text of a template."""
    return (_folder() / f"{name}.jinja").read_text()


def marked_source(name: str) -> str | None:
    """A template with marks around what the assistant says: TRL's change of it, or itself; None: there is none."""
    changed = _folder() / f"{name}_training.jinja"
    found = changed.read_text() if changed.exists() else source(name)
    return found if re.search(r"\{%-?\s*generation\b", found) else None


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, and of pairs of line breaks as most have them, with the special tokens of a template."""
    text = source(name)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, "ĊĊ"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    special = sorted({*_SPECIAL.findall(text), *LISTED_ENDS.get(name, ())})
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special,
        chat_template=text,
    )


@cache
def template(name: str) -> ChatTemplate:
    """The checked template."""
    made = ChatTemplate(tokenizer(name), name, LISTED_ENDS.get(name, ()))
    made.check()
    return made


@dataclass(frozen=True)
class Case:
    """A row of a dataset: messages and tools as files have them."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def row(self) -> dict[str, Any]:
        """The row."""
        return {"messages": list(self.messages), **({"tools": list(self.tools)} if self.tools else {})}

    @property
    def trained(self) -> list[int]:
        """Indices of the answers that count."""
        return [
            index
            for index, message in enumerate(self.messages)
            if message["role"] == "assistant" and message.get("weight") != 0
        ]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _answer(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def _calling(*places: str) -> dict[str, Any]:
    functions = [{"name": "get_weather", "arguments": {"city": place}} for place in places]
    calls = [{"id": f"c{place[:8]:0<8}", "type": "function", "function": function}
             for place, function in zip(places, functions, strict=True)]  # fmt: skip
    return _answer("", tool_calls=calls)


def _result(place: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{place[:8]:0<8}", "content": text}


_CITY = {"type": "string", "description": "Name of the city"}
TOOLS: tuple[dict[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather of now",
            "parameters": {"type": "object", "properties": {"city": _CITY}, "required": ["city"]},
        },
    },
)
_OSLO = (_user("Weather in Oslo?"), _calling("Oslo"), _result("Oslo", "heavy rain"), _answer("Take a coat."))
_ROME = (_user("And in Rome?"), _calling("Rome"), _result("Rome", "bright sun"), _answer("Take a hat."))
_BOTH = (
    _user("Weather in Oslo and Rome?"),
    _calling("Oslo", "Rome"),
    _result("Oslo", "heavy rain"),
    _result("Rome", "bright sun"),
    _answer("Go to Rome."),
)
_THINKS = _answer("It is four.", reasoning_content="Two and two make four.")
_THINKS_AGAIN = _answer("It is six.", reasoning_content="Three and three make six.")
CASES = {
    "one turn": Case((_user("Who are you?"), _answer("A nurse."))),
    "two turns": Case((_user("Who are you?"), _answer("A nurse."), _user("Since when?"), _answer("Last year."))),
    "system": Case(({"role": "system", "content": "Be brief."}, _user("Who are you?"), _answer("A nurse."))),
    "reasoning": Case((_user("2 + 2?"), _THINKS)),
    "reasoning in two turns": Case((_user("2 + 2?"), _THINKS, _user("3 + 3?"), _THINKS_AGAIN)),
    "tools": Case(_OSLO, TOOLS),
    "parallel tools": Case(_BOTH, TOOLS),
    "tools in two turns": Case((*_OSLO, *_ROME), TOOLS),
    "weight 0": Case((_user("Who are you?"), _answer("Go away!", weight=0), _user("Pardon?"), _answer("A nurse."))),
}
