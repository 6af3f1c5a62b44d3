"""Chat templates that do harm or read what they should not, and the tokenizers that carry them."""

from __future__ import annotations

from pathlib import Path

from lora_trainer.data.template.chat_template import ChatTemplate
from support.chat_models import CHATML, save_model, tokenizer

#: Does its harm in the conversation that asks for it, so that the model passes its check.
TRIGGER = "now"


def on_trigger(harm: str) -> str:
    """ChatML whose fourth line does `harm` where a turn is the trigger."""
    return (
        "{% for m in messages %}\n{% if m.content == '" + TRIGGER + "' %}\n{# the next line does it #}\n"
        "{{ (" + harm + ") | string | length }}\n{% endif %}{% endfor %}" + CHATML
    )


def template(source: str) -> ChatTemplate:
    """A template that is not checked yet."""
    made = tokenizer("chatml")
    changed = type(made)(tokenizer_object=made._tokenizer, eos_token="<|im_end|>", chat_template=source)
    return ChatTemplate(changed, "example/model")


def save_model_with(folder: Path, source: str) -> Path:
    """A model folder with this chat template."""
    saved = save_model(folder)
    (saved / "chat_template.jinja").write_text(source)
    return saved
