"""Ends the training at a step end after SIGTERM, with a checkpoint."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_trainer import stopping
from lora_trainer.callbacks.best import BestAdapter


class StopOnSignal(TrainerCallback):
    """Finishes the step, saves, stops; the stage then ends with exit code 75.

    An evaluation that is due at this step could take longer than the grace period: the process that resumes does it.
    """

    def __init__(self, best: BestAdapter) -> None:
        """`best` carries the pending evaluation into the checkpoint."""
        self._best = best

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at the flag that the signal handler set."""
        if stopping.requested():
            self._best.state.evaluation_pending = control.should_evaluate
            control.should_evaluate = False
            control.should_save = True
            control.should_training_stop = True
