"""What a checkpoint from the store may hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lora_trainer.ledger.checkpoint_files import check
from lora_trainer.ledger.checkpoints import BrokenCheckpoint


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The files that transformers and we write."""
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    weight = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1).state_dict(), folder / "scheduler.pt")
    states = {"python": (3, (1, 2), None), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    torch.save(states, folder / "rng_state_1.pth")
    for name in ("adapter_model", "best_adapter"):
        save_file({"weight": torch.zeros(2)}, folder / f"{name}.safetensors")
    for name in ("trainer_state", "adapter_config", "best"):
        (folder / f"{name}.json").write_text("{}")
    (folder / "README.md").write_text("")
    return folder


def test_what_transformers_and_we_write_is_fine(checkpoint: Path) -> None:
    check(checkpoint)


def evil(name: str) -> Callable[[Path], Any]:
    return lambda folder: torch.save({"state": Evil(folder.parent / "ran")}, folder / name)


@pytest.mark.parametrize(
    "spoil",
    [
        evil("optimizer.pt"),
        evil("scheduler.pt"),
        evil("rng_state.pth"),
        evil("training_args.bin"),
        evil("pytorch_model.bin"),
        lambda folder: (folder / "optimizer.pt").write_bytes(b"cposix\nmkdir\n"),
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\xff" * 64),
        lambda folder: (folder / "best.json").write_text("[]"),
        lambda folder: (folder / "trainer_state.json").write_text("{"),
        lambda folder: (folder / "config.json").write_text("{}"),
    ],
)
def test_anything_else_is_refused_and_runs_nothing(spoil: Callable[[Path], Any], checkpoint: Path) -> None:
    spoil(checkpoint)
    with pytest.raises(BrokenCheckpoint):
        check(checkpoint)
    assert not (checkpoint.parent / "ran").exists()
