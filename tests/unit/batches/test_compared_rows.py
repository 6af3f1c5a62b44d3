"""Rows of preferences: the two sequences of each, and which completion stands behind which other prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lora_trainer.batches.compared_rows import Completions, Pairs
from support.compared_rows import completions_file, pairs_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.parquet"


def test_a_pair_is_two_rows_with_the_same_prompt(path: Path) -> None:
    written = pairs_file(path, 4)
    rows = Pairs(path)
    for index, pair in enumerate(written):
        chosen, rejected = rows[index].sequences
        assert chosen.input_ids.tolist() == pair["prompt_ids"] + pair["chosen_ids"]
        assert rejected.input_ids.tolist() == pair["prompt_ids"] + pair["rejected_ids"]
        assert chosen.input_ids[chosen.targets].tolist() == pair["chosen_ids"]
        assert rejected.input_ids[rejected.targets].tolist() == pair["rejected_ids"]
        assert rows.sequence_lengths[index].tolist() == [len(chosen), len(rejected)]
        assert rows.sequence(2 * index + 1).input_ids.tolist() == rejected.input_ids.tolist()


def test_behind_each_prompt_stands_the_completion_of_another_row_once(path: Path) -> None:
    # A few completions
    written = completions_file(path, 20)
    rows = Completions(path)
    others = []
    for index, row in enumerate(written):
        mismatched = rows[index].sequences[1]
        at = len(row["prompt_ids"])
        # The prompt is the row's own, and only the other completion counts, as far as a row may be long
        assert mismatched.input_ids[:at].tolist() == row["prompt_ids"]
        assert not mismatched.targets[:at].any()
        assert mismatched.targets[at:].all()
        assert len(mismatched) <= rows.sequence_lengths[index, 1] <= rows.lengths.max()
        completion = mismatched.input_ids[at:].tolist()
        others.append(
            [number for number, other in enumerate(written) if other["completion_ids"][: len(completion)] == completion]
        )
    # It is never the row's own completion, and each completion stands behind one prompt
    assert all(found != [index] for index, found in enumerate(others))
    unmistakable = [found[0] for found in others if len(found) == 1]
    assert len(unmistakable) == len(set(unmistakable)) > 10


def test_which_completion_that_is_is_the_same_every_time(path: Path) -> None:
    completions_file(path, 20)
    first, second = Completions(path), Completions(path)
    for index in range(20):
        assert first[index].sequences[1].input_ids.tolist() == second[index].sequences[1].input_ids.tolist()


def test_rows_know_what_the_reference_says_once_it_is_known(path: Path) -> None:
    pairs_file(path, 4)
    rows = Pairs(path, only=[1, 3])
    assert rows[1].reference_log_probabilities is None
    rows.reference_log_probabilities = np.arange(4, dtype=np.float32).reshape(2, 2)
    assert rows[1].reference_log_probabilities is not None
    assert rows[1].reference_log_probabilities.tolist() == [2, 3]
