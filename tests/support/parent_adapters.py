"""Published adapters of the models of `chat_models`, and what somebody made of them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST
from lora_trainer.digests import FileDigest
from lora_trainer.publish import Manifest
from support.chat_models import tensor_shapes

RANK, ALPHA = 16, 32
#: The linear layers of the model, without the head.
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_BYTES = {"BF16": 2, "F32": 4}

Tensors = dict[str, tuple[str, tuple[int, ...]]]


def tensors_of(rank: int = RANK) -> Tensors:
    """Type and shape of each tensor of an adapter on all linear layers."""
    found: Tensors = {}
    for name, shape in tensor_shapes().items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in MODULES:
            found[f"base_model.model.{module}.lora_A.weight"] = ("BF16", (rank, shape[1]))
            found[f"base_model.model.{module}.lora_B.weight"] = ("BF16", (shape[0], rank))
    return found


def safetensors(tensors: Tensors) -> bytes:
    """A file with these tensors, all zero."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * _BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def config() -> dict[str, Any]:
    """adapter_config.json as runs write it."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "microsoft/Phi-4-mini-instruct",
        "r": RANK,
        "lora_alpha": ALPHA,
        "use_rslora": False,
        "target_modules": sorted(MODULES),
        "bias": "none",
        "modules_to_save": None,
        "use_dora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
    }


@dataclass
class Parent:
    """An adapter that is about to be published; `chat_template` is that of its base."""

    model_commit: str
    chat_template: str
    config: dict[str, Any] = field(default_factory=config)
    tensors: Tensors = field(default_factory=tensors_of)
    #: Files beside configuration, weights and template.
    more: dict[str, bytes] = field(default_factory=dict)
    weights: bytes | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    def publish(self, put: Callable[[str, bytes], None]) -> bytes:
        """Put each file; manifest.json as stored."""
        files = {
            ADAPTER_CONFIG: json.dumps(self.config).encode(),
            ADAPTER_WEIGHTS: safetensors(self.tensors) if self.weights is None else self.weights,
            "chat_template.jinja": self.chat_template.encode(),
            **self.more,
        }
        manifest = Manifest(
            run_id="0" * 32,
            spec_hash="a" * 64,
            base_model="microsoft/Phi-4-mini-instruct",
            model_commit=self.model_commit,
            dataset_digest="c" * 64,
            required_max_lora_rank=RANK,
            created_at="2026-01-01T00:00:00Z",
            files={name: digest_of(content) for name, content in files.items()},
        )
        content = json.dumps(json.loads(manifest.encoded()) | self.manifest).encode()
        for name, body in (*files.items(), (MANIFEST, content)):
            if "/" not in name:  # what is only claimed to be there
                put(name, body)
        return content


def digest_of(content: bytes) -> FileDigest:
    """What a manifest says of a file with this content."""
    return FileDigest(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
