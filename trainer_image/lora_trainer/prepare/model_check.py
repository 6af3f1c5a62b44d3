"""Whether the base model can be adapted as the spec asks: its files held against each other and against the spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_contract import spec_paths
from lora_contract.counts import count, counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.training import ALL_LINEAR
from lora_trainer.errors import TrainerError, bad_config, unsupported
from lora_trainer.model_files import contents, shape
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.prepare import expert_check, layer_check, quantised_base

#: Keys of config.json that the memory estimate is made from, which every decoder of the last years has, and others
#: that sizes follow from; with the most that any model will have for long.
_NEEDED_SIZES = {"hidden_size": 1 << 20, "num_hidden_layers": 10_000, "vocab_size": 1 << 24}
_OTHER_SIZES = {
    "intermediate_size": 1 << 24,
    "num_attention_heads": 1 << 16,
    "num_key_value_heads": 1 << 16,
    "head_dim": 1 << 16,
    "max_position_embeddings": 1 << 32,
}
#: Keys that count experts, or are a size of theirs; 0: there are none.
_EXPERT_SIZES = {
    **dict.fromkeys((*shape.EXPERT_KEYS, *shape.CHOSEN_KEYS, *shape.SHARED_KEYS), 1 << 16),
    "moe_intermediate_size": 1 << 24,
    "shared_expert_intermediate_size": 1 << 24,
}
#: Types of weights that an adapter can be trained on; others are codes of a quantisation.
_FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
#: How the keys of tokens begin that stand for pictures and sound.
_MEDIA = ("image", "audio", "video", "vision", "boi", "eoi", "boa", "eoa")
#: How the names of classes of causal language models end; GPT-2 and its like are older than the usual one.
_CAUSAL = ("ForCausalLM", "LMHeadModel")
_SHOWN = 12
_FILES_AGAIN = "upload the files of one and the same model again"


def check_config(folder: Path, spec: LoRAFineTuneSpec) -> dict[str, Any]:
    """Read the model's configuration.

    Raises:
        TrainerError: the architecture is unknown, no causal language model, a mixture that cannot be quantised so,
            its weights are quantised already in another way, or a size is none.
    """
    model = spec.model.id
    config = contents.read_json(folder / contents.CONFIG, model)
    if "_attn_implementation_internal" in config:
        raise _refused(f"config.json of {model} sets _attn_implementation_internal, which can load foreign code")
    _check_architecture(config, model)
    config = shape.with_usual_names(config)
    quantised_base.check(config, model, spec.quantization)
    for key, most in {**_NEEDED_SIZES, **_OTHER_SIZES}.items():
        _check_size(config, key, most, model)
    for key, most in _EXPERT_SIZES.items():
        _check_size(config, key, most, model, least=0)
    experts = shape.expert_count(config)
    in_four_bits = config["model_type"] in shape.FOUR_BIT_MIXTURES
    if experts > 1 and (spec.quantization.type == "int8" or (spec.quantization.type != "none" and not in_four_bits)):
        raise unsupported(
            f"{model} is a mixture of {counted(experts, 'expert')}, which {spec.quantization.type} leaves as they are",
            param=spec_paths.QUANTIZATION_TYPE,
            hint="set quantization.type: nf4, or none"
            if in_four_bits
            else "set quantization.type: none, or use a"
            f" mixture whose experts are held in 4 bits: {', '.join(sorted(shape.FOUR_BIT_MIXTURES))}",
        )
    return config


def _check_architecture(config: Mapping[str, Any], model: str) -> None:
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES  # noqa: PLC0415 - takes a second

    architectures = config.get("architectures") or []
    name = str(architectures[0]) if isinstance(architectures, list) and architectures else "none"
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING_NAMES:
        code = "; it needs code from its own repository, which is never run" if config.get("auto_map") else ""
        raise _refused(f"{model} has the model type {model_type!r}, which transformers does not know{code}")
    if not name.endswith(_CAUSAL):
        raise _refused(
            f"{model} is {name}, not a causal language model",
            f"use a text model whose class ends in {' or '.join(_CAUSAL)}",
        )


def _check_size(config: Mapping[str, Any], key: str, most: int, model: str, *, least: int = 1) -> None:
    value = config.get(key)
    if (value is None or isinstance(value, list)) and key in _NEEDED_SIZES:
        raise _refused(f"config.json of {model} has no {key}")
    if value is None:
        return
    if isinstance(value, list):  # some families have one number for each layer, and layers without the part
        right = bool(value) and all(type(number) is int and 0 <= number <= most for number in value)
    else:
        right = type(value) is int and least <= value <= most
    if not right:
        raise _refused(f"config.json of {model} has a {key} that is no number from {least} to {most}", _FILES_AGAIN)


def _refused(message: str, hint: str = "use another base model") -> TrainerError:
    return unsupported(message, param=spec_paths.MODEL_ID, hint=hint)


def check_files(
    spec: LoRAFineTuneSpec,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    folder: Path,
    without_embedding: Mapping[str, int],
) -> None:
    """Hold weights, configuration and tokenizer against each other.

    `without_embedding`: tokens of the tokenizer whose id is `vocab_size` or more.

    Raises:
        TrainerError: they do not belong together; training would end on the GPU.
    """
    model = spec.model.id
    layers = shape.layer_count(tensors)
    if layers is not None and layers < config["num_hidden_layers"]:
        raise _refused(
            f"config.json of {model} names {config['num_hidden_layers']} as num_hidden_layers, but its weights hold"
            f" {layers}",
            _FILES_AGAIN,
        )
    table = shape.embeddings(tensors)
    claimed = (config["vocab_size"], config.get("word_embed_proj_dim", config["hidden_size"]))
    if table is not None and table.shape != claimed:
        raise _refused(
            f"config.json of {model} says vocab_size {claimed[0]} and hidden_size {claimed[1]}, but the embeddings in"
            f" its weights are {table.shape[0]} x {table.shape[1]}",
            _FILES_AGAIN,
        )
    problem = layer_check.contradiction(config, tensors) or expert_check.contradiction(config, tensors)
    if problem is not None:
        raise _refused(f"config.json of {model} {problem}", _FILES_AGAIN)
    _check_special_ids(folder, config["vocab_size"], model)
    _check_vocabulary(folder, config["vocab_size"], model, without_embedding)


def _check_special_ids(folder: Path, rows: int, model: str) -> None:
    for name in (contents.CONFIG, "generation_config.json"):
        if not (folder / name).is_file():
            continue
        settings = contents.read_json(folder / name, model)
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            value = settings.get(key)
            for token in value if isinstance(value, list) else [value]:
                if isinstance(token, int) and token >= rows:
                    raise _refused(
                        f"{name} of {model} has {key} {token}, but the model has only {count(rows)} embeddings",
                        f"correct {key} in {name}: it is the id of a token of the tokenizer, below {rows}",
                    )


def _check_vocabulary(folder: Path, rows: int, model: str, without_embedding: Mapping[str, int]) -> None:
    """Refuse tokens that have no embedding, but for those that stand for pictures and sound: text never holds them."""
    without = dict(without_embedding)
    for media in _media_tokens(folder, model):
        without.pop(media, None)
    if without:
        shown = ", ".join(sorted(without, key=without.__getitem__)[:_SHOWN])
        raise _refused(
            f"the tokenizer of {model} has {counted(max(without.values()) + 1, 'token')}, but the model has only"
            f" {counted(rows, 'embedding')}: none for {shown}",
            "call model.resize_token_embeddings(len(tokenizer)) and save model and tokenizer together, or take the"
            " added tokens out of the tokenizer and its template",
        )


def _media_tokens(folder: Path, model: str) -> set[str]:
    """List the tokens that tokenizer_config.json names for something other than text, such as `image_token`."""
    path = folder / "tokenizer_config.json"
    settings = contents.read_json(path, model) if path.is_file() else {}
    extra = settings.get("extra_special_tokens")
    named = {**settings, **(extra if isinstance(extra, dict) else {})}
    values = (value for key, value in named.items() if key.startswith(_MEDIA) and key.endswith("_token"))
    return {str(value.get("content")) if isinstance(value, dict) else str(value) for value in values}


def check_tokens(largest: int, spec: LoRAFineTuneSpec, config: Mapping[str, Any]) -> None:
    """Hold the rows against the embeddings; `largest` is the largest id in any row.

    Raises:
        TrainerError: a row holds a token that has no embedding.
    """
    if largest >= config["vocab_size"]:
        raise _refused(
            f"rows hold the token {largest}, but {spec.model.id} has only {config['vocab_size']} embeddings",
            "take the words for pictures and sound out of the rows, or use a model with an embedding for each token",
        )


def adapted_modules(
    tensors: Mapping[str, Tensor], spec: LoRAFineTuneSpec, config: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return the linear layers that get an adapter; a name matches a module of that name or one that ends with `.name`.

    Raises:
        TrainerError: a requested module is not in the model, the model has none, or their weights are no numbers.
    """
    linear = shape.linear_modules(tensors, config)
    if not linear:
        raise _refused(f"the weights of {spec.model.id} hold no linear layer that an adapter could go on")
    chosen = linear if spec.lora.target_modules == [ALL_LINEAR] else _named(linear, tensors, spec, config)
    for name, tensor in chosen.items():
        if tensor.dtype not in _FLOATS:
            raise _refused(
                f"{name} of {spec.model.id} is stored as {tensor.dtype}: the weights are quantised already",
                "use the model with 16-bit weights",
            )
    return chosen


def _named(
    linear: Mapping[str, Tensor], tensors: Mapping[str, Tensor], spec: LoRAFineTuneSpec, config: Mapping[str, Any]
) -> dict[str, Tensor]:
    chosen: dict[str, Tensor] = {}
    for target in spec.lora.target_modules:
        matched = {name: t for name, t in linear.items() if _ends_with(name, target)}
        if not matched:
            endings = sorted({shape.last_name(name) for name in linear})
            raise bad_config(
                f"lora.targetModules names {target!r}, {_missing(target, tensors, spec.model.id, config)};"
                f" its linear layers are {', '.join(endings[:_SHOWN])}",
                param=spec_paths.LORA_TARGET_MODULES,
                hint=f"use these names, or {ALL_LINEAR}",
            )
        chosen |= matched
    return chosen


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _missing(target: str, tensors: Mapping[str, Tensor], model: str, config: Mapping[str, Any]) -> str:
    """Say why no layer of this name gets an adapter."""
    experts = shape.expert_count(config)
    if experts > 1:
        return f"which {model} does not have outside of its {counted(experts, 'expert')}"
    if any(_ends_with(name.removesuffix(".weight"), target) for name in tensors):
        return f"on which no adapter can go in {model}"
    return f"which {model} does not have"


def check_context(
    spec: LoRAFineTuneSpec, config: Mapping[str, Any], tensors: Mapping[str, Tensor], row_tokens: int
) -> None:
    """Hold the longest row, as it is cut, against a table of positions.

    Raises:
        TrainerError: the model has nothing for the positions behind the end of its table.
    """
    context = shape.context_length(config)
    if context is not None and row_tokens > context and shape.learned_positions(tensors):
        raise bad_config(
            f"the longest row has {counted(row_tokens, 'token')}, but {spec.model.id} has positions for"
            f" {count(context)} only",
            param=spec_paths.TRAINING_MAX_LENGTH,
            hint=f"set training.maxLength to {context} at most",
        )


def warnings(
    spec: LoRAFineTuneSpec, config: Mapping[str, Any], tensors: Mapping[str, Tensor], row_tokens: int | None
) -> list[str]:
    """Say what a user should know of model and spec although they can be trained; `row_tokens` of the longest row."""
    found = []
    context = shape.context_length(config)
    if context is not None and row_tokens is not None and row_tokens > context:
        found.append(
            f"the longest row has {counted(row_tokens, 'token')}, more than the {count(context)} that"
            f" {spec.model.id} was made for; set training.maxLength to {context}, or use a model with a longer context"
        )
    experts = shape.expert_count(config)
    if experts > 1:
        stored, active = sum(tensor.size for tensor in tensors.values()), shape.active_parameters(tensors, config)
        found.append(
            f"{spec.model.id} is a mixture of {counted(experts, 'expert')}: they and their router get no adapter,"
            f" only the other linear layers do; of {counted(stored, 'parameter')} {count(active)} take part"
            " in each token"
        )
    return found
