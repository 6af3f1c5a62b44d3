"""A model's tokenizer and chat template as its files hold them, with what the spec changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from lora_contract import spec_paths
from lora_contract.finetune import ChatSpec
from lora_trainer.data.template import template_source
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.errors import TrainerError, bad_config, unsupported

_NEVER_RENDERED = "{{ raise_exception('rows of this format are not rendered') }}"


def load(
    folder: Path,
    model: str,
    chat: ChatSpec = ChatSpec(),  # noqa: B008 - it is immutable
    *,
    renders: bool = True,
) -> ChatTemplate:
    """Load the chat template of the model whose tokenizer files lie in `folder`, changed as `chat` says, and check it.

    `renders`: whether rows will be rendered; if not, only the tokenizer is looked at: base models have no template.

    Raises:
        TrainerError: the files are missing or broken, or the template cannot be trained with.
    """
    if not (folder / "tokenizer.json").is_file():
        raise _no_tokenizer(model, "has no tokenizer.json")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the Rust library raises bare Exception for a broken file
        raise _no_tokenizer(model, f"has tokenizer files that cannot be read ({error})") from error
    # Files saved after other work may hold a length at which every text is cut, or to which it is filled.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    if not renders:
        tokenizer.chat_template = _NEVER_RENDERED
        return ChatTemplate(tokenizer, model)
    if chat.template is not None:
        tokenizer.chat_template = chat.template
    if not tokenizer.chat_template:
        raise unsupported(
            f"{model} has no chat template",
            param=spec_paths.MODEL_ID,
            hint="use an instruct model, or give a template with chat.template",
        )
    if chat.template_args:
        source = _single(tokenizer.chat_template, model)
        _check_arguments(source, chat, model)
        tokenizer.chat_template = template_source.with_arguments(source, chat.template_args)
    try:
        template = ChatTemplate(tokenizer, model, _listed_ends(folder, tokenizer))
    except ValueError as error:
        raise unsupported(f"{model} has no default chat template: {error}", param=spec_paths.MODEL_ID) from error
    if chat.template is not None:
        template.param = spec_paths.CHAT_TEMPLATE
    template.check()
    return template


def _single(source: Any, model: str) -> str:
    if isinstance(source, str):
        return source
    raise unsupported(
        f"{model} has several chat templates: {', '.join(source)}",
        param=spec_paths.CHAT_TEMPLATE_ARGS,
        hint="give the one that is meant with chat.template",
    )


def _check_arguments(source: str, chat: ChatSpec, model: str) -> None:
    unread = template_source.unread(source, chat.template_args)
    if unread is None:
        return
    known = template_source.asked_for(source)
    raise bad_config(
        f"chat.templateArgs sets {unread}, which the chat template of {model} never reads",
        param=f"{spec_paths.CHAT_TEMPLATE_ARGS}.{unread}",
        hint=f"it asks for {', '.join(known[:20])}" if known else "it asks for no variable; remove chat.templateArgs",
    )


def _listed_ends(folder: Path, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Read from generation_config.json at which tokens a server ends an answer of the model."""
    try:
        settings = json.loads((folder / "generation_config.json").read_text())
        ids = settings["eos_token_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []  # a file that is broken is refused with the model's other files
    known = [token for token in (ids if isinstance(ids, list) else [ids]) if isinstance(token, int)]
    return [str(tokenizer.convert_ids_to_tokens(token)) for token in known if 0 <= token < len(tokenizer)]


def _no_tokenizer(model: str, problem: str) -> TrainerError:
    return unsupported(
        f"{model} {problem}",
        param=spec_paths.MODEL_ID,
        hint="add tokenizer.json: AutoTokenizer.from_pretrained(...).save_pretrained(...) writes it",
    )
