"""Models whose files claim what cannot be: refused in words and at once, before any weight is read."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.model_files.safetensors_header import read_header

NAME = "model.safetensors"
MOST_SECONDS = 5.0


def file_of(header: bytes, *, values: int = 0, length: int | None = None) -> bytes:
    """A safetensors file with this header, which says that it has `length` bytes."""
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(values)


def tensors(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


def tensor(shape: Any, place: Any, dtype: Any = "BF16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "a header longer than the file": file_of(b"{}", length=1000),
    "a header of 2**64 - 1 bytes": file_of(b"{}", length=2**64 - 1),
    "a header above the bound": file_of(b" " * 30_000_000),
    "lists within lists": file_of(b"[" * 1_000_000),
    "objects within objects": file_of(b'{"a":' * 1_000_000),
    "a number of a million digits": file_of(b'{"a": ' + b"9" * 1_000_000 + b"}"),
    "bytes that are no UTF-8": file_of(b'{"\xff": 1}'),
    "UTF-16": file_of('{"a": 1}'.encode("utf-16")),
    "a list": file_of(b"[]"),
    "a tensor twice": file_of(b'{"a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "a": 1}'),
    "a tensor without a description": file_of(tensors(a=None)),
    "a type that does not exist": file_of(tensors(a=tensor([1], [0, 2], "BF17")), values=2),
    "a type that is a list": file_of(tensors(a=tensor([1], [0, 2], ["BF16"])), values=2),
    "a size of 10**30": file_of(tensors(a=tensor([10**30], [0, 2])), values=2),
    "sizes whose product is absurd": file_of(tensors(a=tensor([2**52] * 16, [0, 2])), values=2),
    "a million dimensions": file_of(tensors(a=tensor([2] * 1_000_000, [0, 2])), values=2),
    "a size below 0": file_of(tensors(a=tensor([-1, -1], [0, 2])), values=2),
    "a size that is a fraction": file_of(tensors(a=tensor([1.0], [0, 2])), values=2),
    "a size that is a truth": file_of(tensors(a=tensor([True], [0, 2])), values=2),
    "a place below 0": file_of(tensors(a=tensor([1], [-2, 0])), values=2),
    "a place behind the end": file_of(tensors(a=tensor([1], [2**40, 2**40 + 2])), values=2),
    "a place that runs backwards": file_of(tensors(a=tensor([1], [2, 0])), values=2),
    "a shape that does not fill its place": file_of(tensors(a=tensor([2], [0, 2])), values=2),
    "tensors that overlap": file_of(tensors(a=tensor([2], [0, 4]), b=tensor([2], [2, 6])), values=6),
    "a hole": file_of(tensors(a=tensor([1], [0, 2]), b=tensor([1], [4, 6])), values=6),
    "cut weights": file_of(tensors(a=tensor([8], [0, 16])), values=15),
    "bytes that nobody describes": file_of(tensors(a=tensor([8], [0, 16])), values=17),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_lies_is_refused_within_bounds(case: str) -> None:
    content = HOSTILE[case]
    began = time.monotonic()

    with pytest.raises(TrainerError) as raised:
        read_header(io.BytesIO(content), len(content), NAME, "org/model")

    assert time.monotonic() - began < MOST_SECONDS
    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert f"{NAME} of org/model" in raised.value.message
    assert len(raised.value.message) < 300
    assert raised.value.hint


def test_a_header_of_a_hundred_thousand_tensors_stays_within_the_memory_of_prepare() -> None:
    entry = b'"%07d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % number for number in range(100_000)) + b"}"
    tracemalloc.start()
    try:
        found = read_header(io.BytesIO(file_of(header)), len(header) + 8, NAME, "org/model")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(found) == 100_000
    assert peak < 128 << 20
