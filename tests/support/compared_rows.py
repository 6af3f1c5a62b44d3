"""Rows of preferences as prepare leaves them, and the same for TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lora_trainer.batches.compared_rows import ComparedRows
from lora_trainer.data.prepared import DESIRABLE, REJECTED_FROM, ROW_SCHEMA
from lora_trainer.evaluation import log_probabilities
from lora_trainer.model.forward import ForwardPass
from support.tiny_models import VOCABULARY

Ids = dict[str, Any]


def pairs_file(path: Path, count: int) -> list[Ids]:
    """Write pairs whose chosen and rejected answers are of other tokens, so that there is something to learn."""
    random = np.random.default_rng(0)
    tokens = {"prompt_ids": (3, VOCABULARY), "chosen_ids": (3, 8), "rejected_ids": (8, 13)}
    pairs = [{key: _ids(random, between) for key, between in tokens.items()} for _ in range(count)]
    rows = []
    for pair in pairs:
        prompt, chosen, rejected = pair.values()
        chosen_row, rejected_row = _row(prompt, chosen), _row(prompt, rejected)
        ids, targets = chosen_row[0] + rejected_row[0], chosen_row[1] + rejected_row[1]
        rows.append({"input_ids": ids, "targets": targets, "length": len(ids), "rejected_from": len(chosen_row[0])})
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([*ROW_SCHEMA, REJECTED_FROM])), path)
    return pairs


def completions_file(path: Path, count: int) -> list[Ids]:
    """Write completions with labels: desirable ones are of other tokens than undesirable ones."""
    random = np.random.default_rng(0)
    completions = []
    for number in range(count):
        desirable = number % 3 != 1
        prompt, completion = _ids(random, (3, VOCABULARY)), _ids(random, (3, 8) if desirable else (8, 13))
        completions.append({"prompt_ids": prompt, "completion_ids": completion, "label": desirable})
    rows = []
    for row in completions:
        ids, targets = _row(row["prompt_ids"], row["completion_ids"])
        rows.append({"input_ids": ids, "targets": targets, "length": len(ids), "desirable": row["label"]})
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([*ROW_SCHEMA, DESIRABLE])), path)
    return completions


def ask_reference(forward_pass: ForwardPass, model: Any, rows: ComparedRows) -> None:
    """Let the rows know what the base says of them."""
    with model.disable_adapter():
        found = log_probabilities.of_sequences(
            forward_pass, model, rows.sequence_lengths.ravel(), rows.sequence, before_batch=lambda _done: None
        )
    rows.reference_log_probabilities = found.numpy().reshape(-1, 2)


def _ids(random: np.random.Generator, between: tuple[int, int]) -> list[int]:
    return random.integers(*between, random.integers(2, 20)).tolist()  # type: ignore[no-any-return]


def _row(prompt: list[int], answer: list[int]) -> tuple[list[int], list[bool]]:
    return [*prompt, *answer], [False] * len(prompt) + [True] * len(answer)
