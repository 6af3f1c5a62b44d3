"""The chat template that the spec names by address, brought here."""

from __future__ import annotations

import hashlib

from lora_contract import spec_paths
from lora_contract.counts import count, counted
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import ChatSpec
from lora_contract.finetune.chat import LONGEST_TEMPLATE
from lora_contract.order import Order
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.store import about
from lora_trainer.store.protocol import Store


def fetch(order: Order, store: Store) -> tuple[ChatSpec, str | None]:
    """Return spec.chat with the template in place of its address, and the sha256 of what lies there; None without one.

    Raises:
        TrainerError: it holds nothing, no text, or one that is too long.
    """
    chat = order.spec.chat
    if chat.template_uri is None:
        return chat, None
    with about(spec_paths.CHAT_TEMPLATE_URI):
        found = store.info(chat.template_uri)
        if found is None:
            raise TrainerError(
                ExitCode.INPUT_MISSING,
                f"{chat.template_uri} does not exist",
                param=spec_paths.CHAT_TEMPLATE_URI,
                hint="upload the template, or correct the address",
            )
        if found.size > LONGEST_TEMPLATE:
            raise bad_config(
                f"{chat.template_uri} has {counted(found.size, 'byte')}, where {count(LONGEST_TEMPLATE)} are the most",
                param=spec_paths.CHAT_TEMPLATE_URI,
                hint="name the file with the Jinja source of the chat template",
            )
        content = store.read(chat.template_uri)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_config(
            f"{chat.template_uri} is not UTF-8", param=spec_paths.CHAT_TEMPLATE_URI, hint="save the file as UTF-8"
        ) from error
    if not text.strip():
        raise bad_config(
            f"{chat.template_uri} is empty",
            param=spec_paths.CHAT_TEMPLATE_URI,
            hint="name the file with the Jinja source",
        )
    return ChatSpec(template=text, template_args=chat.template_args), hashlib.sha256(content).hexdigest()
