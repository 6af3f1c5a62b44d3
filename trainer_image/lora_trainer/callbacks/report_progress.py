"""Says how far training is: to the operator, on the terminal, in the log."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from tqdm import tqdm  # type: ignore[import-untyped]
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lora_contract import progress as wire
from lora_trainer.callbacks.best import BestAdapter
from lora_trainer.progress import ProgressPoster

log = logging.getLogger(__name__)


class _Account(NamedTuple):
    """What the steps up to one took, since this process started."""

    step: int
    seconds: float
    tokens: int


def _peak_memory() -> int:
    """Tell the most bytes that tensors took on the GPU; without one, that the process took."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class ReportProgress(TrainerCallback):
    """Keeps the clock of the steps and tells everybody. Times are seconds of `time.monotonic`."""

    def __init__(
        self,
        poster: ProgressPoster | None,
        best: BestAdapter,
        tokens: Callable[[], int],
        on_step: Callable[[int], None],
        *,
        silent: bool = False,
    ) -> None:
        """`tokens`: non-padding tokens trained on since this process started; `on_step` is called after each step.

        `silent`: only the clock is kept, because another process of the run speaks.
        """
        self._poster = poster
        self._best = best
        self._tokens = tokens
        self._on_step = on_step
        self._bar: Any = None
        self._silent = silent
        self._latest: dict[str, float] = {}
        self.from_step = 0
        self.last_step = 0
        self.first_step_began: float | None = None
        self.last_step_ended: float | None = None
        self._stepping = 0.0
        self._step_began = 0.0
        self._logged = _Account(0, 0.0, 0)

    @property
    def tokens_per_second(self) -> float:
        """Non-padding tokens a second, evaluation and checkpoints apart."""
        return self._tokens() / self._stepping if self._stepping else 0.0

    @property
    def training_seconds(self) -> float:
        """Seconds from the first to the last step of this process, evaluations and checkpoints included."""
        if self.first_step_began is None or self.last_step_ended is None:
            return 0.0
        return self.last_step_ended - self.first_step_began

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell that training starts, or goes on after a checkpoint."""
        self.from_step = self.last_step = state.global_step
        self._logged = _Account(state.global_step, self._stepping, self._tokens())
        if sys.stderr.isatty() and not self._silent:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", file=sys.stderr)
        self._post(state)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note when a step begins."""
        self._step_began = time.monotonic()
        if self.first_step_began is None:
            self.first_step_began = self._step_began

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tell that a step is done."""
        self.last_step = state.global_step
        self.last_step_ended = time.monotonic()
        self._stepping += self.last_step_ended - self._step_began
        self._on_step(state.global_step)
        if self._bar is not None:
            self._bar.update(1)
        self._post(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell new figures, and keep with a loss what its steps took."""
        if logs and "loss" in logs and state.log_history:
            state.log_history[-1] |= self._cost_of_steps(state.global_step)
        figures = {key: value for key, value in (logs or {}).items() if key in _SHOWN}
        if not figures or self._silent:
            return
        self._latest |= figures
        if self._bar is not None:
            self._bar.set_postfix({key: f"{value:.4g}" for key, value in self._latest.items()})
        else:
            words = ", ".join(f"{_SHOWN[key]} {value:.4g}" for key, value in figures.items())
            log.info(
                "step %d of %d: %s, %.0f tokens/s", state.global_step, state.max_steps, words, self.tokens_per_second
            )
        self._post(state)

    def _cost_of_steps(self, step: int) -> dict[str, float]:
        """Return seconds and tokens of a step, means over those since the last time; and the most memory so far."""
        before, self._logged = self._logged, _Account(step, self._stepping, self._tokens())
        steps = max(1, step - before.step)
        return {
            "seconds": round((self._stepping - before.seconds) / steps, 6),
            "tokens": round((self._logged.tokens - before.tokens) / steps),
            "peak_memory_bytes": _peak_memory(),
        }

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar: there are no more steps."""
        if self._bar is not None:
            self._bar.close()

    def asking_reference(self, percent: int) -> None:
        """Tell how far the reference was asked about the rows; training follows."""
        if not self._silent:
            log.info("the reference was asked about %d %% of the rows", percent)
        if self._poster is not None:
            metrics = {wire.METRIC_STEP: 0.0, wire.METRIC_REFERENCE: float(percent)}
            self._poster.post(percent=0, eta_seconds=None, metrics=metrics)

    def publishing(self, state: TrainerState) -> None:
        """Tell that training is over; evaluation and publication follow."""
        self._post(state, {wire.METRIC_PUBLISHING: 1.0})

    def _post(self, state: TrainerState, more: dict[str, float] | None = None) -> None:
        if self._poster is None:
            return
        total = max(state.max_steps, 1)
        metrics = {
            wire.METRIC_STEP: float(state.global_step),
            wire.METRIC_TOTAL_STEPS: float(total),
            wire.METRIC_FROM_STEP: float(self.from_step),
            wire.METRIC_TOKENS_PER_SECOND: self.tokens_per_second,
        }
        for key, name in (("loss", wire.METRIC_TRAIN_LOSS), ("eval_loss", wire.METRIC_EVAL_LOSS)):
            if key in self._latest:
                metrics[name] = self._latest[key]
        if self._best.state.loss is not None:
            metrics |= {
                wire.METRIC_BEST_EVAL_LOSS: self._best.state.loss,
                wire.METRIC_BEST_STEP: float(self._best.state.step),
            }
        self._poster.post(
            percent=100 * state.global_step // total,
            eta_seconds=self._eta(state),
            metrics=metrics | (more or {}),
        )

    def _eta(self, state: TrainerState) -> float | None:
        """Predict the seconds until the last step at the pace of this process, evaluations included."""
        done = self.last_step - self.from_step
        if not done or self.first_step_began is None or self.last_step_ended is None:
            return None
        return (self.last_step_ended - self.first_step_began) / done * (state.max_steps - state.global_step)


_SHOWN = {"loss": "loss", "eval_loss": "evaluation loss"}
