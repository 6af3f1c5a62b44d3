"""transformers.Trainer with our batches, our loss, our evaluation, and guards."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainingArguments

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_trainer.batches.batch import IGNORED
from lora_trainer.batches.prepared_rows import EffectiveBatches, EpochLoader, Rows, with_silent_row
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.model.data_parallel import data_parallel
from lora_trainer.model.forward import ForwardPass
from lora_trainer.objective import Objective
from lora_trainer.processes.group import Group
from lora_trainer.train.schedule import Schedule, scheduler

#: With float16 the loss scale starts too high on purpose; this many skipped steps in a row are no longer the start.
_SKIPPED_STEPS_ALLOWED = 20


class LoraTrainer(Trainer):
    """Trains one adapter. Losses are the objective's sums, divided by the weights of the effective batch.

    The processes of a group each do their share of every effective batch and make the same step.
    """

    def __init__(
        self,
        *,
        model: PeftModel,
        args: TrainingArguments,
        objective: Objective,
        forward_pass: ForwardPass,
        train_rows: Rows,
        validation_rows: Rows | None,
        effective_batch_size: int,
        schedule: Schedule,
        callbacks: list[TrainerCallback],
        alive: Callable[[], None],
        group: Group,
    ) -> None:
        """`alive` is called before every batch of an evaluation."""
        self.objective = objective
        self.forward_pass = forward_pass
        self.effective_batch_size = effective_batch_size
        self.tokens_trained = 0
        self._alive = alive
        self._group = group
        self._schedule = schedule
        self._skipped = 0
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_rows,
            eval_dataset=validation_rows,
            data_collator=objective.collate(forward_pass),
            callbacks=callbacks,
        )
        self.loss_is_scaled_for_ga = True
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> EpochLoader:
        """Load micro batches of effective batches that do not depend on the micro batch size."""
        rows: Rows = self.train_dataset
        return EpochLoader(
            rows,
            batch_sampler=EffectiveBatches(
                len(rows),
                effective_batch_size=self.effective_batch_size,
                micro_batch_size=self.args.per_device_train_batch_size,
                seed=self.args.seed,
                lengths=None if self.forward_pass.padding_free else rows.lengths,
                place=self._group.place,
                mixture=rows.mixture,
            ),
            collate_fn=with_silent_row(self.data_collator, rows[0].silent),
            pin_memory=self.args.dataloader_pin_memory,
            # A loader draws from its generator; the global one would make a resumed run differ.
            generator=torch.Generator().manual_seed(self.args.seed),
        )

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """Make our schedule, whose first step learns."""
        if self.lr_scheduler is None:
            self.lr_scheduler: LambdaLR | None = scheduler(
                optimizer or self.optimizer,
                schedule=self._schedule,
                warmup_steps=self.args.warmup_steps,
                total_steps=num_training_steps,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor | None:
        """Sum up the weights of the effective batch, over all processes."""
        if not batch_samples:
            return None
        self.objective.prepare_step(self.forward_pass, self.model, batch_samples, self._group)
        weights = float(torch.stack([self.objective.weight_sum(batch) for batch in batch_samples]).sum())
        tokens = sum(count_tokens(batch) for batch in batch_samples)
        all_weights, all_tokens = self._group.total(weights, tokens)
        self.tokens_trained += int(all_tokens)
        return torch.tensor(all_weights, dtype=torch.float32, device=device)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> nn.Module:
        """Put the loss of several processes inside torch's DistributedDataParallel, which averages gradients."""
        if self._group.place.alone or not training or model is not self.model:
            return super()._wrap_model(model, training, dataloader)
        return data_parallel(self.model, partial(self.objective.loss_sum, self.forward_pass))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute this micro batch's share of the mean loss of the effective batch.

        Times the number of processes, because gradients and logged losses are averaged over them.
        """
        if self._group.place.alone:
            return self.objective.loss_sum(self.forward_pass, model, inputs) / num_items_in_batch
        return model(inputs) * self._group.size / num_items_in_batch

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | float | None = None) -> float:
        """Check the gradient norm before the optimiser uses the gradients."""
        norm = float(super()._get_grad_norm(model, grad_norm))
        step = self.state.global_step + 1
        if math.isfinite(norm):
            self._skipped = 0
        else:
            self._skipped += 1
            if not self.args.fp16 or self._skipped > _SKIPPED_STEPS_ALLOWED:
                raise not_finite("gradient", step)
        if self.state.global_step == 0 and norm == 0.0:
            raise bad_config(
                "the adapter gets no gradient: nothing would be learned",
                param=spec_paths.LORA_TARGET_MODULES,
                hint="Choose modules that take part in the forward pass, for instance all-linear.",
            )
        return norm

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Do one micro batch; its loss must be finite.

        Raises:
            TrainerError: 81, the loss is not finite.
        """
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise not_finite("loss", self.state.global_step + 1)
        return loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure the validation rows as the objective does, whatever the batch size."""
        rows: Rows = self.eval_dataset
        everything = [rows[i] for i in range(len(rows))]
        found = self.objective.measure(self.forward_pass, self.model, everything, alive=self._alive, group=self._group)
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in {"loss": found.loss, **found.figures}.items()}
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the adapter alone, as safetensors: no pickled arguments, no model card."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)

    def _save_rng_state(self, output_dir: str) -> None:
        """Save the random state of every process in the checkpoint of the leader; the others keep none."""
        super()._save_rng_state(output_dir)
        place = self._group.place
        if place.alone:
            return
        folder = Path(output_dir)
        states = self._group.gathered((folder / _random_state(place.rank)).read_bytes())
        if states is None:
            shutil.rmtree(folder)
            return
        for rank, state in enumerate(states):
            (folder / _random_state(rank)).write_bytes(state)


def _random_state(rank: int) -> str:
    """Name the file, which transformers reads."""
    return f"rng_state_{rank}.pth"


def count_tokens(batch: Mapping[str, Any]) -> int:
    """Count the tokens of a batch without padding; 0 where nothing counts."""
    if not (batch["labels"] != IGNORED).any():
        return 0
    mask = batch.get("attention_mask")
    return int(batch["input_ids"].numel() if mask is None else mask.sum())


def not_finite(what: str, step: int) -> TrainerError:
    """Make the error for a loss or gradient that is not a number; that of the first loss cannot be what was learned."""
    if (what, step) == ("loss", 1):
        return TrainerError(
            ExitCode.LOSS_NOT_FINITE,
            "the loss is not finite before anything was learned",
            param=spec_paths.MODEL_ID,
            hint="Check the files of the model: weights are damaged, or too large for the precision that it runs in.",
        )
    return TrainerError(
        ExitCode.LOSS_NOT_FINITE,
        f"the {what} at step {step} is not finite",
        param=spec_paths.TRAINING_LEARNING_RATE,
        hint="Lower training.learningRate (a tenth is a good next try), or set training.maxGradNorm to 1.",
    )
