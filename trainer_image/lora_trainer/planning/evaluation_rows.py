"""How many validation rows an evaluation during training takes, so that evaluations take a tenth of the time at most.

A row costs an evaluation its forward pass, and a training step that and a backward pass of at least the same length.
So rows of evaluations may be up to a fifth of the rows trained on. prepare decides and writes it into the plan; train
takes those rows, the same ones at every evaluation and in every process.
"""

from __future__ import annotations

import numpy as np

from lora_contract.finetune import TrainingSpec

#: Rows of an evaluation by rows trained on since the one before.
_SHARE = 5
#: Fewer rows than this say nothing about which adapter is the best, whatever they cost.
LEAST_ROWS = 8


def evaluation_rows(training: TrainingSpec, validation_rows: int) -> int:
    """Plan how many rows an evaluation takes of so many validation rows."""
    affordable = training.effective_batch_size * training.eval_steps // _SHARE
    return min(validation_rows, max(LEAST_ROWS, affordable))


def chosen(count: int, rows: int, seed: int) -> list[int]:
    """Choose `count` of so many rows: the same for the same seed, in their order."""
    return sorted(np.random.default_rng(seed).permutation(rows)[:count].tolist())
