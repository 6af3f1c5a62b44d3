"""Ends the training at a step end after SIGTERM, with a checkpoint."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_trainer import stopping
from lora_trainer.callbacks.best import BestAdapter
from lora_trainer.processes.group import Group


class StopOnSignal(TrainerCallback):
    """Finishes the step, saves, stops; the stage then ends with exit code 75.

    An evaluation that is due at this step could take longer than the grace period: the process that resumes does it.
    """

    def __init__(self, best: BestAdapter, group: Group) -> None:
        """`best` carries the pending evaluation into the checkpoint; one process with a signal stops its group."""
        self._best = best
        self._group = group

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at the flag that the signal handler set."""
        if self._group.any(stopping.requested()):
            stopping.request()
            self._best.state.evaluation_pending = control.should_evaluate
            control.should_evaluate = False
            control.should_save = True
            control.should_training_stop = True
