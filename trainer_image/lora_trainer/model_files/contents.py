"""Which files of a model are used, and what the weights hold, without reading them whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from lora_trainer.errors import TrainerError, unsupported

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PARAM_MODEL = "spec.model.id"

_SMALL = frozenset({".json", ".txt", ".model", ".jinja"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})
_MAX_HEADER_BYTES = 100 << 20  # the bound of the safetensors format


@dataclass(frozen=True)
class Tensor:
    """Type (safetensors name, such as BF16) and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


def small_files(names: Iterable[str]) -> list[str]:
    """Configuration and tokenizer files. Code, pickles and everything unknown is never fetched."""
    return sorted(name for name in names if PurePosixPath(name).suffix in _SMALL)


def check_listing(names: Iterable[str], model: str) -> None:
    """Refuse a model that cannot be used, before anything of it is downloaded.

    Raises:
        TrainerError: no config.json, or no safetensors.
    """
    present = set(names)
    if CONFIG not in present:
        raise unsupported(
            f"{model} has no {CONFIG}",
            param=PARAM_MODEL,
            hint="save the model with save_pretrained and upload all files",
        )
    if not present & {INDEX, SINGLE}:
        pickles = sorted(name for name in present if PurePosixPath(name).suffix in _PICKLES)
        found = f"only {', '.join(pickles[:3])}, which are pickles and can run code" if pickles else "no weights"
        raise unsupported(
            f"{model} has {found}; {SINGLE} or {INDEX} is needed",
            param=PARAM_MODEL,
            hint="convert it once: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) writes safetensors",
        )


def weight_files(folder: Path, names: Iterable[str], model: str) -> list[str]:
    """The safetensors files that make up the model; `folder` holds the index, if there is one.

    Raises:
        TrainerError: the index cannot be read, or names files that are missing.
    """
    present = set(names)
    if INDEX not in present:
        return [SINGLE]
    index = read_json(folder / INDEX, model)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _broken(model, INDEX, "has no weight_map")
    files = sorted({str(name) for name in weight_map.values()})
    missing = [name for name in files if name not in present]
    if missing:
        raise _broken(model, INDEX, f"names {missing[0]}, which is not there")
    return files


def read_json(path: Path, model: str) -> dict[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        TrainerError: it is none.
    """
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _broken(model, path.name, f"is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _broken(model, path.name, "is not a JSON object")
    return value


def read_header(stream: BinaryIO, name: str, model: str) -> dict[str, Tensor]:
    """Tensors of one safetensors file by name; reads the header alone (8 bytes of length, then JSON).

    Raises:
        TrainerError: it is no safetensors file.
    """
    prefix = stream.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= length <= _MAX_HEADER_BYTES:
        raise _broken(model, name, "is not a safetensors file")
    raw = bytearray()
    while len(raw) < length and (chunk := stream.read(length - len(raw))):
        raw += chunk
    try:
        header = json.loads(raw)
        return {
            key: Tensor(str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
            for key, entry in header.items()
            if key != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(model, name, "has a broken safetensors header; it may be cut off") from error


def _broken(model: str, name: str, problem: str) -> TrainerError:
    return unsupported(f"{name} of {model} {problem}", param=PARAM_MODEL, hint="upload the model's files again")
