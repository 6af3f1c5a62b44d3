"""What a checkpoint from the store may hold: looked at before any of it reaches the trainer.

Whoever can write below the run's output can write a checkpoint with a valid manifest. Its `.pt` and `.pth` files are
pickles by format, so they are read by torch's restricted loader (`weights_only`), which makes tensors and plain values
and runs no code. It is tried here, so a file that holds anything else is passed over like a broken one, instead of
ending each pod of the run at the same place.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.trainer_pt_utils import safe_globals

from lora_trainer.ledger.checkpoints import BrokenCheckpoint

#: By torch.save, as transformers names them: optimiser, schedule, loss scale, random states of each process.
_TENSORS = re.compile(r"(optimizer|scheduler|scaler)\.pt|rng_state(_\d{1,6})?\.pth")
_SAFETENSORS = re.compile(r"(adapter_model|best_adapter)\.safetensors")
_JSON = re.compile(r"(trainer_state|adapter_config|best)\.json")
_UNREAD = re.compile(r"README\.md")
_MAX_JSON_BYTES = 64 << 20


def check(folder: Path) -> None:
    """Look at every file of a downloaded checkpoint.

    Raises:
        BrokenCheckpoint: there is a file that no checkpoint has, or one that holds something else than it should.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            _check(name, path)
        except BrokenCheckpoint:
            raise
        except Exception as error:  # of whatever kind the loader of this format raises
            raise BrokenCheckpoint(f"{name} cannot be read: {type(error).__name__}") from error


def _check(name: str, path: Path) -> None:
    if _TENSORS.fullmatch(name):
        with safe_globals():  # numpy's part of a random state; the same that transformers allows
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    elif _SAFETENSORS.fullmatch(name):
        with safe_open(path, framework="pt") as file:
            file.keys()
    elif _JSON.fullmatch(name):
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise BrokenCheckpoint(f"{name} is too large")
        content: Any = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise BrokenCheckpoint(f"{name} is not a JSON object")
    elif not _UNREAD.fullmatch(name):
        raise BrokenCheckpoint(f"{name} is no file of a checkpoint")
