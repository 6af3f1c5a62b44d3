"""Whether a run can go on from its parent: what the parent is, from manifest and headers, held against the spec."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lora_contract import spec_paths
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.training import ALL_LINEAR
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lora_contract.order import Order
from lora_trainer.errors import bad_config
from lora_trainer.model_files import contents
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.model_files.shape import from_layer, last_name
from lora_trainer.publish import ParentAdapter, find_parent
from lora_trainer.store.protocol import Store

_CHAT_TEMPLATE = "chat_template.jinja"
_TOKENIZER = "tokenizer_config.json"
#: As adapters are published.
_DTYPE = "BF16"
_TENSOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
#: What no run of ours sets in adapter_config.json, and would make it another kind of adapter.
_NOT_OURS = (
    *("alora_invocation_tokens", "alpha_pattern", "exclude_modules", "layer_replication", "layers_to_transform"),
    *("lora_bias", "modules_to_save", "rank_pattern", "target_parameters", "trainable_token_indices", "use_dora"),
)
_SHOWN = 5
_LONGEST = 200


class Difference(NamedTuple):
    """What the spec and the parent do not have in common, and the field of the spec that it is about."""

    field: str
    text: str


@dataclass(frozen=True)
class Child:
    """What prepare knows of the run that goes on: `modules` get an adapter, `template` is the sha256 of its template.

    `transposed`: the base holds the weights of its linear layers as [input, output].
    """

    spec: LoRAFineTuneSpec
    model_commit: str
    modules: Mapping[str, Tensor]
    template: str | None
    transposed: bool


def find(order: Order, store: Store) -> ParentAdapter | None:
    """Find the adapter that the run goes on from; None: it begins with a fresh one.

    Raises:
        TrainerError: it cannot be read, or the run asks for what does not go with a parent.
    """
    return find_parent(store, order.spec, order.parent)


def check(parent: ParentAdapter, child: Child) -> None:
    """Hold the parent against the run, before a GPU is asked for.

    Raises:
        TrainerError: 64, they differ, or the parent's files are not what its manifest says.
    """
    differences = [*_of_base(parent, child), *_of_config(_config(parent), child), *_of_template(parent, child)]
    tensors = parent.tensors()
    if not differences:
        differences += [Difference(parent.field, text) for text in _of_tensors(tensors, child)]
    if differences:
        shown = "; ".join(difference.text for difference in differences[:_SHOWN])
        more = f"; and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise bad_config(
            f"the adapter at {parent.uri} cannot be gone on from as the spec says: {shown}{more}",
            param=differences[0].field,
            hint="a run keeps base model, adapter and chat template of the adapter that it goes on from: write the"
            " spec as that of the other run, or leave from out",
        )
    parent.check_weights()


def warnings(parent: ParentAdapter | None) -> list[str]:
    """Say what a user should know of a parent although it can be gone on from."""
    if parent is None or parent.manifest.gate_failed is None:
        return []
    return [f"the adapter that the run goes on from missed its gate: {parent.manifest.gate_failed}"]


def template_of_model(folder: Path, model: str) -> str | None:
    """Return the sha256 of the chat template in a model's files; None: there is none, or several."""
    if (folder / _CHAT_TEMPLATE).is_file():
        return hashlib.sha256((folder / _CHAT_TEMPLATE).read_bytes()).hexdigest()
    settings = contents.read_json(folder / _TOKENIZER, model) if (folder / _TOKENIZER).is_file() else {}
    template = settings.get("chat_template")
    return hashlib.sha256(template.encode()).hexdigest() if isinstance(template, str) else None


def _config(parent: ParentAdapter) -> dict[str, Any]:
    try:
        config = json.loads(parent.read(ADAPTER_CONFIG) or b"")
    except (ValueError, RecursionError) as error:
        raise parent.refused(f"{ADAPTER_CONFIG} is not JSON") from error
    if not isinstance(config, dict):
        raise parent.refused(f"{ADAPTER_CONFIG} is not a JSON object")
    if config.get("peft_type") != "LORA":
        raise parent.refused(f"{ADAPTER_CONFIG} says peft_type {_shown(config.get('peft_type'))}, which is not LORA")
    if odd := [key for key in _NOT_OURS if config.get(key)] + ["bias"] * (config.get("bias", "none") != "none"):
        raise parent.refused(f"{ADAPTER_CONFIG} sets {odd[0]}, which no run sets")
    return config


def _of_base(parent: ParentAdapter, child: Child) -> Iterator[Difference]:
    manifest, model = parent.manifest, child.spec.model
    if manifest.base_model != model.id:
        yield Difference(spec_paths.MODEL_ID, f"model.id is {model.id}, but its base is {_shown(manifest.base_model)}")
    if manifest.model_commit != child.model_commit:
        found = _shown(manifest.model_commit)
        text = f"the model's files are those of {child.model_commit}, but its base is of {found}"
        yield Difference(spec_paths.MODEL_REVISION, text)


def _of_config(config: Mapping[str, Any], child: Child) -> Iterator[Difference]:
    lora = child.spec.lora
    for field, key, wanted in (
        (spec_paths.LORA_R, "r", lora.r),
        (spec_paths.LORA_ALPHA, "lora_alpha", lora.alpha),
        (spec_paths.LORA_USE_RSLORA, "use_rslora", lora.use_rslora),
        (spec_paths.MODEL_ID, "base_model_name_or_path", child.spec.model.id),
    ):
        if config.get(key) != wanted:
            name = field.removeprefix("spec.")
            yield Difference(field, f"{name} is {_shown(wanted)}, but its {key} is {_shown(config.get(key))}")
    names = lora.target_modules
    if names == [ALL_LINEAR]:
        names = sorted({last_name(name) for name in child.modules})
    found = config.get("target_modules")
    if not isinstance(found, list) or sorted(map(str, found)) != sorted(names):
        text = f"lora.targetModules are {', '.join(sorted(names))}, but its target_modules are {_shown(found)}"
        yield Difference(spec_paths.LORA_TARGET_MODULES, text)


def _of_template(parent: ParentAdapter, child: Child) -> Iterator[Difference]:
    stated = parent.manifest.files.get(_CHAT_TEMPLATE)
    if (None if stated is None else stated.sha256) != child.template:
        what = "it has none" if stated is None else "it was trained with another one"
        yield Difference(spec_paths.CHAT_TEMPLATE, f"the chat template, with its arguments, differs: {what}")


def _of_tensors(tensors: Mapping[str, Tensor], child: Child) -> Iterator[str]:
    """Compare the tensors with those that the run trains; modules are known by their names from the layer on."""
    wanted = dict(_wanted(child))
    for name, tensor in tensors.items():
        matched = _TENSOR.fullmatch(name)
        shape = None if matched is None else wanted.pop((from_layer(matched[1]), matched[2]), None)
        if shape is None:
            yield f"{ADAPTER_WEIGHTS} holds {_shown(name)}, which this run does not train"
        elif tensor.shape != shape:
            yield f"{_shown(name)} is {_sides(tensor.shape)}, where this run trains {_sides(shape)}"
        elif tensor.dtype != _DTYPE:
            yield f"{_shown(name)} is stored as {tensor.dtype}, where adapters are published as {_DTYPE}"
    for module, letter in wanted:
        yield f"{ADAPTER_WEIGHTS} lacks lora_{letter} of {module}"


def _wanted(child: Child) -> Iterator[tuple[tuple[str, str], tuple[int, ...]]]:
    rank = child.spec.lora.r
    for name, tensor in child.modules.items():
        output, width = reversed(tensor.shape) if child.transposed else tensor.shape
        yield (from_layer(name), "A"), (rank, width)
        yield (from_layer(name), "B"), (output, rank)


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
