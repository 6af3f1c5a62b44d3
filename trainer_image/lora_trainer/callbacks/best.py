"""Keeps the adapter of the best evaluation, and stops when evaluation no longer improves."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune.training import EarlyStoppingSpec
from lora_trainer.errors import TrainerError

_WEIGHTS = "best_adapter.safetensors"
_STATE = "best.json"


@dataclass
class BestState:
    """What a checkpoint must carry so a resumed run selects and stops like an undisturbed one."""

    loss: float | None = None
    step: int = 0
    reference: float | None = None
    without_improvement: int = 0
    finished: bool = False
    evaluation_pending: bool = False


class BestAdapter(TrainerCallback):
    """Saves the adapter at each evaluation that is the best so far, also between two checkpoints."""

    def __init__(self, folder: Path, early_stopping: EarlyStoppingSpec | None) -> None:
        """`folder` holds the best adapter while the process runs."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.early_stopping = early_stopping
        self.state = BestState()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        model: PeftModel,
        **kwargs: Any,
    ) -> None:
        """Keep the adapter if it is the best; count evaluations without improvement."""
        loss = metrics["eval_loss"]
        if not math.isfinite(loss):
            raise TrainerError(
                ExitCode.LOSS_NOT_FINITE,
                f"the evaluation loss at step {state.global_step} is not finite",
                param=spec_paths.TRAINING_LEARNING_RATE,
                hint="Lower training.learningRate, or look for unusual rows in the validation data.",
            )
        if self.state.loss is None or loss < self.state.loss:
            save_file(adapter_tensors(model), self.folder / _WEIGHTS)
            self.state.loss, self.state.step = loss, state.global_step
        self.state.evaluation_pending = False
        self._count(loss)
        self.save(self.folder)
        stopping = self.early_stopping
        if stopping is not None and self.state.without_improvement >= stopping.patience:
            self.state.finished = True
            control.should_training_stop = True
            control.should_save = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remember in the last checkpoint that there is nothing left to train."""
        self.state.finished = self.state.finished or state.global_step >= state.max_steps

    def _count(self, loss: float) -> None:
        reference, minimum = self.state.reference, 0.0 if self.early_stopping is None else self.early_stopping.min_delta
        if reference is None or loss < reference - minimum:
            self.state.reference, self.state.without_improvement = loss, 0
        else:
            self.state.without_improvement += 1

    def save(self, folder: Path) -> None:
        """Put the state and the best adapter into a checkpoint."""
        (folder / _STATE).write_text(json.dumps(asdict(self.state)))
        weights = self.folder / _WEIGHTS
        if folder != self.folder and weights.is_file():
            shutil.copyfile(weights, folder / _WEIGHTS)

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        self.state = BestState(**json.loads((checkpoint / _STATE).read_text()))
        if (checkpoint / _WEIGHTS).is_file():
            shutil.copyfile(checkpoint / _WEIGHTS, self.folder / _WEIGHTS)

    def restore(self, model: PeftModel) -> bool:
        """Give the model the best adapter; False when there was no evaluation and the last one stays."""
        weights = self.folder / _WEIGHTS
        if not weights.is_file():
            return False
        set_peft_model_state_dict(model, load_file(weights))
        return True


def adapter_tensors(model: PeftModel) -> dict[str, Any]:
    """Copy the adapter's tensors to the CPU, by the names that are published."""
    # Asked for embedding layers, which are never trained, peft would look the base model up on the Hub.
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}
