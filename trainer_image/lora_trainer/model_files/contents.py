"""Which files of a model are used, and what the weights hold, without reading them whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lora_contract import spec_paths
from lora_contract.counts import count, counted
from lora_trainer.errors import unsupported
from lora_trainer.model_files.safetensors_header import Tensor, broken

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_SMALL = frozenset({".json", ".txt", ".model", ".jinja"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})
#: The largest tokenizer of a known model has an eighth of it.
_MAX_SMALL_BYTES = 256 << 20
#: The longest name of a file on Linux, bytes; objects in S3 may have longer ones.
_LONGEST_NAME = 255


def small_files(names: Iterable[str]) -> list[str]:
    """Choose configuration and tokenizer files. Code, pickles and everything unknown is never fetched."""
    return sorted(name for name in names if PurePosixPath(name).suffix in _SMALL)


def check_listing(sizes: Mapping[str, int], model: str) -> None:
    """Refuse a model that cannot be used, before anything of it is downloaded; `sizes` are the files' bytes by name.

    Raises:
        TrainerError: no config.json, or no safetensors, or a configuration file of an absurd size or name.
    """
    present = set(sizes)
    for name in small_files(present):
        length = len(name.encode(errors="replace"))
        if length > _LONGEST_NAME:
            problem = f"has a name of {counted(length, 'byte')}, where {_LONGEST_NAME} are the most"
            raise broken(model, f"{name[:40]}...", problem)
        if sizes[name] > _MAX_SMALL_BYTES:
            raise broken(
                model, name, f"has {counted(sizes[name], 'byte')}, where {count(_MAX_SMALL_BYTES)} are the most"
            )
    if CONFIG not in present:
        raise unsupported(
            f"{model} has no {CONFIG}",
            param=spec_paths.MODEL_ID,
            hint="save the model with save_pretrained and upload all files",
        )
    if not present & {INDEX, SINGLE}:
        pickles = sorted(name for name in present if PurePosixPath(name).suffix in _PICKLES)
        found = f"only {', '.join(pickles[:3])}, which are pickles and can run code" if pickles else "no weights"
        raise unsupported(
            f"{model} has {found}; {SINGLE} or {INDEX} is needed",
            param=spec_paths.MODEL_ID,
            hint="convert it once: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) writes safetensors",
        )


def weight_files(folder: Path, names: Iterable[str], model: str) -> list[str]:
    """Choose the safetensors files that make up the model; `folder` holds the index, if there is one.

    Raises:
        TrainerError: the index cannot be read, or names files that are missing.
    """
    present = set(names)
    if INDEX not in present:
        return [SINGLE]
    files = sorted(set(_weight_map(folder, model).values()))
    missing = [name for name in files if name not in present]
    if missing:
        raise broken(model, INDEX, f"names {missing[0][:80]}, which is not there")
    return files


def read_weights(
    folder: Path, files: Iterable[str], read_file: Callable[[str], dict[str, Tensor]], model: str
) -> dict[str, Tensor]:
    """Read type and shape of every tensor of the model; `read_file` reads the header of one of `files`.

    Raises:
        TrainerError: a file is no safetensors file, or the files and the index contradict each other.
    """
    indexed = _weight_map(folder, model) if (folder / INDEX).exists() else {}
    tensors: dict[str, Tensor] = {}
    for name in files:
        found = read_file(name)
        repeated = next((key for key in found if key in tensors), None)
        if repeated is not None:
            raise broken(model, name, f"holds {repeated[:80]!r}, which another file of the model holds as well")
        absent = next((key for key, file in indexed.items() if file == name and key not in found), None)
        if absent is not None:
            raise broken(model, INDEX, f"says that {name} holds {absent[:80]!r}, which it does not")
        tensors |= found
    return tensors


def _weight_map(folder: Path, model: str) -> dict[str, str]:
    """Read the file of each tensor, as the index says."""
    weight_map = read_json(folder / INDEX, model).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise broken(model, INDEX, "has no weight_map")
    if not all(isinstance(name, str) for name in weight_map.values()):
        raise broken(model, INDEX, "has a weight_map that does not name files")
    return weight_map


def read_json(path: Path, model: str) -> dict[str, Any]:
    """Read a JSON object of a model's folder.

    Raises:
        TrainerError: it is none.
    """
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise broken(model, path.name, f"is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise broken(model, path.name, "is not a JSON object")
    return value
