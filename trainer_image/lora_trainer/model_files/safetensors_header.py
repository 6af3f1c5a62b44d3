"""The header of a safetensors file: what it claims, held against the size of the file.

The format (https://github.com/huggingface/safetensors#format): 8 bytes with the header's length, little-endian; the
header, a JSON object from the name of a tensor to its type, shape and place; the values, without holes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from lora_contract import spec_paths
from lora_contract.counts import count, counted
from lora_trainer.errors import TrainerError, unsupported

PREFIX_BYTES = 8
#: The Hub's bound; the largest header of a known model is a hundredth of it. The format itself would allow 100 MB.
_MAX_HEADER_BYTES = 25_000_000
_MAX_DIMENSIONS = 16
#: No more than this much of a file is ever read for its header.
MOST_BYTES = PREFIX_BYTES + _MAX_HEADER_BYTES
_METADATA = "__metadata__"
_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True)
class Tensor:
    """Type (safetensors name, such as BF16) and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


class _Claim(Exception):  # noqa: N818 - becomes a TrainerError with the file's name
    """What a header says that cannot be true."""


def broken(model: str, name: str, problem: str) -> TrainerError:
    """Make the error for a file of a model that cannot be what it should be."""
    return unsupported(f"{name} of {model} {problem}", param=spec_paths.MODEL_ID, hint="upload the model's files again")


def read_header(
    stream: BinaryIO, size: int, name: str, model: str, refused: Callable[[str, str, str], TrainerError] = broken
) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file of `size` bytes by name, from its header alone.

    `refused` makes the error of model, name and problem.

    Raises:
        TrainerError: it is no safetensors file, is cut off, or its header says what cannot be true.
    """
    try:
        prefix = _read(stream, PREFIX_BYTES)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == PREFIX_BYTES else 0
        if length < len("{}"):
            raise _Claim("is not a safetensors file")
        if length > _MAX_HEADER_BYTES:
            raise _Claim(f"is not a safetensors file, or has a header of more than {_MAX_HEADER_BYTES // 10**6} MB")
        values = size - PREFIX_BYTES - length
        if values < 0:
            raise _Claim(f"has {counted(size, 'byte')} but a header of {count(length)}; it is cut off")
        return _tensors(_parse(_read(stream, length)), values)
    except _Claim as claim:
        raise refused(model, name, str(claim)) from claim


def _read(stream: BinaryIO, amount: int) -> bytes:
    raw = bytearray()
    while len(raw) < amount and (chunk := stream.read(amount - len(raw))):
        raw += chunk
    return bytes(raw)


def _parse(raw: bytes) -> dict[str, Any]:
    def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            raise _Claim("has a safetensors header that names a tensor twice")
        return entries

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=without_repetition)
    except (ValueError, RecursionError) as error:
        raise _Claim("has a safetensors header that is not JSON; it may be cut off") from error
    if not isinstance(header, dict):
        raise _Claim("has a safetensors header that is not a JSON object")
    return header


def _tensors(header: dict[str, Any], size: int) -> dict[str, Tensor]:
    """Read the tensors of a header, which together fill the `size` bytes behind it exactly, in whatever order."""
    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int, str]] = []
    for key, entry in header.items():
        if key != _METADATA:
            tensors[key], begin, end = _tensor(key, entry, size)
            places.append((begin, end, key))
    position = 0
    for begin, end, key in sorted(places):
        if begin != position:
            problem = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise _Claim(f"has a tensor {_shown(key)} that {problem}")
        position = end
    if position != size:
        raise _Claim(
            f"has {counted(size, 'byte')} of values, but its header describes {count(position)}; it may be cut off"
        )
    return tensors


def _tensor(key: str, entry: Any, size: int) -> tuple[Tensor, int, int]:
    problem = f"has a tensor {_shown(key)} with"
    if not isinstance(entry, dict):
        raise _Claim(f"{problem} no description")
    dtype, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _Claim(f"{problem} a type that is not known")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(map(_is_size, shape)):
        raise _Claim(f"{problem} an impossible shape")
    if not isinstance(place, list) or len(place) != len(("begin", "end")) or not all(map(_is_size, place)):
        raise _Claim(f"{problem} an impossible place")
    begin, end = place
    if not begin <= end <= size:
        raise _Claim(f"{problem} a place outside of the file's {counted(size, 'byte')} of values; it may be cut off")
    if prod(shape) * _BITS[dtype] != 8 * (end - begin):
        raise _Claim(f"{problem} a shape for {prod(shape):.3g} of them in {counted(end - begin, 'byte')}, as {dtype}")
    return Tensor(dtype, tuple(shape)), begin, end


def _is_size(value: Any) -> bool:
    """Tell whether a value is a whole number that a size in a file can be."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _shown(key: str) -> str:
    return repr(key if len(key) <= 80 else f"{key[:80]}...")
