"""An objective is one class: preference pairs, written here as one, train to the losses of TRL's DPOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn import functional
from trl import DPOConfig, DPOTrainer

from lora_trainer.batches.batch import Batch, Collate, Row
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data.prepared import ROW_SCHEMA
from lora_trainer.evaluation.losses import evaluated
from lora_trainer.model.forward import ForwardPass, choose
from lora_trainer.model.loss import head_logits
from lora_trainer.objective import Figure, Measured
from lora_trainer.objective.supervised import SupervisedFineTuning
from lora_trainer.processes.group import Group
from support.tiny_models import VOCABULARY, byte_tokenizer, without_ours
from support.trl_runs import BATCH, adapted, by_our_schedule, losses, our_order, ours, trl_arguments

STEPS, BETA = 6, 0.1


@dataclass(frozen=True)
class Pair(Row):
    """Two rows behind one another, of which the second begins at `rejected_from`."""

    rejected_from: int = 0

    @property
    def both(self) -> tuple[Row, Row]:
        """The chosen row and the rejected one."""
        at = self.rejected_from
        return Row(self.input_ids[:at], self.targets[:at]), Row(self.input_ids[at:], self.targets[at:])

    @property
    def silent(self) -> Pair:
        ids = np.tile(self.input_ids[:8], 2)
        return Pair(ids, np.zeros(len(ids), dtype=np.bool_), rejected_from=len(ids) // 2)


class Pairs(Rows):
    """Rows of a file with one column more."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._borders = pq.read_table(path, columns=["rejected_from"])["rejected_from"].to_pylist()

    def __getitem__(self, index: int) -> Pair:
        row = super().__getitem__(index)
        return Pair(row.input_ids, row.targets, rejected_from=self._borders[int(index)])


class Preference(SupervisedFineTuning):
    """Direct preference optimisation; the base model without the adapter is the reference."""

    loss_unit = "nats per pair"
    figures = (Figure("reward_accuracy", "Reward accuracy", lower_is_better=False),)

    def rows(self, path: Path, *, only: Sequence[int] | None = None) -> Rows:
        return Pairs(path)

    def collate(self, forward_pass: ForwardPass) -> Collate:
        def collated(rows: Sequence[Any]) -> Batch:
            chosen_then_rejected = list(chain(*zip(*(pair.both for pair in rows), strict=True)))
            batch = forward_pass.collate(chosen_then_rejected)
            return {**batch, "targets_of_rows": torch.tensor([row.target_count for row in chosen_then_rejected])}

        return collated

    def loss_sum(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        silent = batch["targets_of_rows"].chunk(2)[0] == 0
        return -functional.logsigmoid(self._margins(forward_pass, model, batch))[~silent].sum()

    def weight_sum(self, batch: Mapping[str, Any]) -> Tensor:
        return (batch["targets_of_rows"] > 0).sum() // 2

    def measure(
        self,
        forward_pass: ForwardPass,
        model: nn.Module,
        rows: Sequence[Row],
        *,
        alive: Callable[[], None],
        group: Group | None = None,
    ) -> Measured:
        group = group or Group()
        margins = [
            self._margins(forward_pass, model, batch)
            for batch in evaluated(
                forward_pass, model, rows, collate=self.collate(forward_pass), alive=alive, place=group.place
            )
        ]
        found = torch.cat(margins)
        loss, right, pairs = group.total(
            float(-functional.logsigmoid(found).sum()), float((found > 0).sum()), float(len(found))
        )
        return Measured(loss / pairs, {"reward_accuracy": right / pairs})

    def _margins(self, forward_pass: ForwardPass, model: Any, batch: Mapping[str, Any]) -> Tensor:
        """How much more the adapter raised the chosen answer than the rejected one, by pair."""
        with torch.no_grad(), model.disable_adapter():
            reference = self._log_probabilities(forward_pass, model, batch)
        raised = self._log_probabilities(forward_pass, model, batch) - reference
        chosen, rejected = raised.chunk(2)
        return BETA * (chosen - rejected)

    def _log_probabilities(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Of the targets of each row."""
        with forward_pass.precision(batch):
            hidden, labels = forward_pass.targets(model, batch)
            losses = functional.cross_entropy(head_logits(hidden, *forward_pass.head(model)), labels, reduction="none")
        return -torch.stack([part.sum() for part in losses.split(batch["targets_of_rows"].tolist())])


def pairs_file(folder: Path) -> tuple[Path, list[dict[str, list[int]]]]:
    """Pairs as prepare would leave them, and the same for TRL."""
    random = np.random.default_rng(0)
    # Chosen and rejected answers are of other tokens, so that there is something to learn.
    tokens = {"prompt_ids": (3, VOCABULARY), "chosen_ids": (3, 8), "rejected_ids": (8, 13)}
    pairs = [
        {key: random.integers(*between, random.integers(2, 20)).tolist() for key, between in tokens.items()}
        for _ in range(STEPS * BATCH)
    ]
    rows = []
    for pair in pairs:
        prompt, chosen, rejected = pair.values()
        ids = [*prompt, *chosen, *prompt, *rejected]
        targets = [False] * len(prompt) + [True] * len(chosen) + [False] * len(prompt) + [True] * len(rejected)
        border = len(prompt) + len(chosen)
        rows.append({"input_ids": ids, "targets": targets, "length": len(ids), "rejected_from": border})
    path = folder / "train.parquet"
    schema = pa.schema([*ROW_SCHEMA, pa.field("rejected_from", pa.int32())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path, pairs


def trl(model: Any, pairs: list[dict[str, list[int]]], folder: Path) -> Any:
    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    data = Dataset.from_list([pairs[index] for index in our_order(len(pairs), steps=STEPS)])
    arguments = DPOConfig(**trl_arguments(folder, steps=STEPS), beta=BETA)
    trainer = Tokenised(model, args=arguments, train_dataset=data, processing_class=byte_tokenizer())
    return by_our_schedule(trainer, steps=STEPS)


def test_preference_pairs_train_to_the_losses_of_trl(tmp_path: Path) -> None:
    # One adapter, twice, and pairs of answers
    path, pairs = pairs_file(tmp_path)
    rows, model = Preference().rows(path), adapted("llama")
    twin = without_ours(model)
    # An objective of pairs trains in our trainer, and TRL trains on the same pairs
    trainer = ours(model, Preference(), rows, tmp_path, steps=STEPS, validation_rows=rows)
    found, expected = losses(trainer), losses(trl(twin, pairs, tmp_path))
    # The losses begin where nothing is preferred, fall, and are the same at each step
    assert len(found) == STEPS
    assert found[0] == pytest.approx(np.log(2), rel=1e-5)
    assert found[-1] < 0.9 * found[0]
    assert found == pytest.approx(expected, rel=5e-3)
    # The trainer evaluates what the objective measures
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] < np.log(2)
    assert metrics["eval_reward_accuracy"] > 0.6


def test_a_process_without_a_pair_takes_part_and_changes_nothing(tmp_path: Path) -> None:
    # A process that has no pair of its own in a step
    path, _ = pairs_file(tmp_path)
    rows, model, objective = Preference().rows(path), adapted("llama"), Preference()
    forward_pass, _ = choose(model, [rows[0]], pad_token_id=0, autocast=None)
    # It runs a silent one
    batch = objective.collate(forward_pass)([rows[0].silent])
    loss = objective.loss_sum(forward_pass, model, batch)
    loss.backward()
    # Loss and weight are zero, and the adapter has gradients of zero for the others to wait for
    assert float(loss.detach()) == 0
    assert int(objective.weight_sum(batch)) == 0
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None and not weight.grad.any() for weight in trained)
