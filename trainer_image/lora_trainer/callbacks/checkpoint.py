"""Hands each checkpoint that the trainer wrote to the store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_trainer.callbacks.best import BestAdapter
from lora_trainer.ledger.checkpoints import Checkpoints


class SaveToStore(TrainerCallback):
    """Adds the best adapter to a checkpoint, starts its upload, and frees its place on disk."""

    def __init__(self, checkpoints: Checkpoints, best: BestAdapter) -> None:
        """The upload of one checkpoint is awaited when the next one is saved."""
        self._checkpoints = checkpoints
        self._best = best

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take over a checkpoint that is complete on disk."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._best.save(folder)
        self._checkpoints.save(folder, state.global_step, best_step=self._best.state.step or None)
        shutil.rmtree(folder)
