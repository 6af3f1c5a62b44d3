"""One training session: model, adapter and trainer put together, resumed where a checkpoint lies, run to its end."""

from __future__ import annotations

import logging
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

from lora_contract.counts import counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import TrainOrder
from lora_trainer import stopping
from lora_trainer.batches.prepared_rows import EffectiveBatches
from lora_trainer.callbacks.best import BestAdapter
from lora_trainer.callbacks.checkpoint import SaveToStore
from lora_trainer.callbacks.report_progress import ReportProgress
from lora_trainer.callbacks.stop import StopOnSignal
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.evaluation.stops import Stops
from lora_trainer.evaluation.stops import find as find_stops
from lora_trainer.ledger import checkpoints as stored
from lora_trainer.ledger.checkpoints import Checkpoints
from lora_trainer.model.adapter import Adapted, attach
from lora_trainer.model.forward import ForwardPass, choose
from lora_trainer.model.hardware import Hardware, detect, free_memory
from lora_trainer.model.load import load_base
from lora_trainer.planning import micro_batch
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.processes import restart
from lora_trainer.processes.group import Group
from lora_trainer.progress import ProgressPoster
from lora_trainer.train import parent_weights
from lora_trainer.train.arguments import training_arguments
from lora_trainer.train.inputs import Inputs
from lora_trainer.train.trainer import LoraTrainer

log = logging.getLogger(__name__)

_STATE = "trainer_state.json"
_EPOCHS_LOOKED_AT = 8


@dataclass(frozen=True)
class LeaderDuties:
    """What the process has that speaks for the run: where checkpoints go, and who is told about steps."""

    checkpoints: Checkpoints
    poster: ProgressPoster | None
    on_step: Callable[[int], None]


@dataclass
class Session:
    """A trainer that is ready, and what belongs to it."""

    trainer: LoraTrainer
    adapted: Adapted
    tokenizer: PreTrainedTokenizerBase
    forward_pass: ForwardPass
    hardware: Hardware
    best: BestAdapter
    progress: ReportProgress
    warnings: list[str]
    group: Group
    stops: Stops

    @property
    def micro_batch_size(self) -> int:
        """Rows in a forward pass."""
        return int(self.trainer.args.per_device_train_batch_size)


def build(
    order: TrainOrder,
    inputs: Inputs,
    folder: Path,
    *,
    group: Group,
    watchdog: Watchdog,
    leader: LeaderDuties | None,
) -> Session:
    """Load the base model, attach the adapter, choose how to run it, and make the trainer.

    `leader`: what only the process has that speaks for the run.

    Raises:
        TrainerError: 64 or 78, the model and the spec do not go together.
    """
    spec = order.spec
    if not sys.stderr.isatty():
        disable_progress_bar()
    set_seed(spec.training.seed)
    hardware = detect(spec.compute.gpus, group.place)
    log.info("training on %s with %s", hardware.device, hardware.dtype)
    tokenizer = AutoTokenizer.from_pretrained(inputs.model.path, local_files_only=True, trust_remote_code=False)
    if inputs.chat_template is not None:
        tokenizer.chat_template = inputs.chat_template
    adapted = _adapted(spec, inputs, hardware, watchdog.beat)
    forward_pass, plan, warnings = _how_to_run(order, inputs, adapted, tokenizer, hardware=hardware, group=group)
    watchdog.beat()
    best = BestAdapter(folder / "best", spec.training.early_stopping)
    progress = _progress(leader, best, lambda: trainer.tokens_trained)
    saving: list[TrainerCallback] = [SaveToStore(leader.checkpoints, best)] if leader else []
    trainer = LoraTrainer(
        model=adapted.model,
        args=_arguments(order, inputs, plan, hardware, folder=folder / "trainer", processes=group.size),
        objective=inputs.objective,
        forward_pass=forward_pass,
        train_rows=inputs.train,
        validation_rows=inputs.validation,
        effective_batch_size=spec.training.effective_batch_size,
        schedule=spec.training.schedule,
        callbacks=[watchdog, best, progress, *saving, StopOnSignal(best, group)],
        alive=watchdog.beat,
        group=group,
    )
    stops = find_stops(adapted.model, tokenizer, inputs.profile.stop_tokens if inputs.profile is not None else ())
    return Session(trainer, adapted, tokenizer, forward_pass, hardware, best, progress, warnings, group, stops)


def _adapted(spec: LoRAFineTuneSpec, inputs: Inputs, hardware: Hardware, alive: Callable[[], None]) -> Adapted:
    """Load the base model on its device, with a fresh adapter or that of the parent."""
    base = load_base(inputs.model.path, spec.quantization, hardware)
    alive()
    # The adapter's first values depend on the seed alone, not on what loading drew.
    set_seed(spec.training.seed)
    adapted = attach(base, spec.lora)
    if inputs.parent is not None:
        parent_weights.fill(adapted.model, inputs.parent.weights)
    adapted.model.to(hardware.device)
    return adapted


def _how_to_run(
    order: TrainOrder,
    inputs: Inputs,
    adapted: Adapted,
    tokenizer: PreTrainedTokenizerBase,
    *,
    hardware: Hardware,
    group: Group,
) -> tuple[ForwardPass, MemoryPlan, list[str]]:
    """Find out with a few rows of the data how to run the model and how much a forward pass takes; with warnings."""
    forward_pass, warnings = choose(
        adapted.model,
        [inputs.train[index] for index in range(min(3, len(inputs.train)))],
        pad_token_id=tokenizer.pad_token_id or 0,
        autocast=hardware.autocast,
    )
    plan = _memory_plan(order, inputs, adapted, forward_pass, hardware=hardware, group=group)
    if hardware.is_cuda:
        forward_pass = replace(
            forward_pass, evaluation_tokens=micro_batch.evaluation_tokens(plan, int(inputs.train.lengths.max()))
        )
    if hardware.device.type == "cpu" and order.spec.compute.gpus:
        warnings.append("no CUDA device was found; trained on the CPU")
    warnings += restart.warning()
    return forward_pass, plan, warnings


def _progress(leader: LeaderDuties | None, best: BestAdapter, tokens: Callable[[], int]) -> ReportProgress:
    """Make the callback that keeps the clock; in the process that speaks for the run it also tells of each step."""
    if leader is None:
        return ReportProgress(None, best, tokens, lambda step: None, silent=True)
    return ReportProgress(leader.poster, best, tokens, leader.on_step)


def _arguments(
    order: TrainOrder, inputs: Inputs, plan: MemoryPlan, hardware: Hardware, *, folder: Path, processes: int
) -> TrainingArguments:
    return training_arguments(
        order.spec.training,
        total_steps=order.plan.total_steps,
        memory=plan,
        hardware=hardware,
        evaluate=inputs.validation is not None,
        folder=folder,
        processes=processes,
    )


def _memory_plan(
    order: TrainOrder, inputs: Inputs, adapted: Adapted, forward_pass: ForwardPass, *, hardware: Hardware, group: Group
) -> MemoryPlan:
    """Plan the rows of a forward pass, the same in all processes, as the memory of every one of them allows."""
    training, lengths = order.spec.training, inputs.train.lengths
    share = training.effective_batch_size // group.size
    wanted = restart.wanted_micro_batch(training)
    mixture = inputs.train.mixture
    epoch_rows = len(lengths) if mixture is None else mixture.count
    # Later epochs are shuffled like the first ones; should one hold a larger pass that does not fit, it is halved.
    epochs = min(_EPOCHS_LOOKED_AT, math.ceil(order.plan.total_steps * training.effective_batch_size / epoch_rows))

    @cache
    def pass_tokens(rows: int) -> int:
        if not forward_pass.padding_free:
            return rows * int(lengths.max())
        batches = EffectiveBatches(
            len(lengths),
            effective_batch_size=training.effective_batch_size,
            micro_batch_size=rows,
            seed=training.seed,
            place=group.place,
            mixture=mixture,
        )
        return batches.largest(lengths, epochs)

    plan = micro_batch.plan_memory(
        adapted.model.get_base_model().config.get_text_config(),
        free_bytes=free_memory(hardware),
        pass_tokens=pass_tokens,
        effective_batch_size=share,
        wanted=None if wanted is None else micro_batch.divisor_at_most(share, wanted),
        is_cuda=hardware.is_cuda,
    )
    return MemoryPlan(group.smallest(plan.micro_batch_size), group.any(plan.activation_checkpointing))


def resume(session: Session, checkpoint: stored.Checkpoint | None) -> int:
    """Take over a checkpoint; the step it was written at, 0 without one.

    An evaluation that the interrupted process owed is done now, before the next step, so the best adapter and early
    stopping come out as in an undisturbed run.
    """
    if checkpoint is None:
        return 0
    log.info("resuming after step %d (claim %d)", checkpoint.manifest.step, checkpoint.manifest.claim)
    trainer, folder, group = session.trainer, checkpoint.folder, session.group
    session.best.load(folder)
    trainer._load_from_checkpoint(str(folder))
    trainer.state = TrainerState.load_from_json(str(folder / _STATE))
    session.progress.from_step = session.progress.last_step = trainer.state.global_step
    if session.best.state.evaluation_pending:
        trainer.evaluate()
        if group.place.leads_pod:
            trainer.state.save_to_json(str(folder / _STATE))
            session.best.save(folder)
        group.any(False)  # nobody reads the files before they are written
    return checkpoint.manifest.step


def run(session: Session, order: TrainOrder, checkpoint: stored.Checkpoint | None) -> None:
    """Train to the last step, to early stopping, or to the step in which SIGTERM came.

    Raises:
        SmallerMicroBatch: CUDA ran out of memory; start again with fewer rows in a forward pass.
        StopRequested: SIGTERM came; the checkpoint is written and on its way to the store.
        TrainerError: 80 or 81.
    """
    if session.best.state.finished:
        log.info("all steps were done before")
        return
    # Dropout differs between processes; the first one draws what a process alone would draw.
    if not session.group.place.is_leader:
        set_seed(order.spec.training.seed + session.group.place.rank)
    try:
        with stopping.deferred():
            session.trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint.folder))
    except torch.OutOfMemoryError as error:
        log.warning("CUDA ran out of memory with %s in a forward pass", counted(session.micro_batch_size, "row"))
        raise restart.halved(session.micro_batch_size, order.spec.training, session.group.size) from error
    stopping.check()
    shutil.rmtree(session.trainer.args.output_dir, ignore_errors=True)
