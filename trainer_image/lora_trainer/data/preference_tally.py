"""Counts what rows of preferences compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lora_contract import spec_paths
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data.profile import PreferencesProfile
from lora_trainer.data.splits import Split
from lora_trainer.errors import bad_data


class PreferenceTally:
    """Counts answers as rows of preferences pass; other rows leave it as it is."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._rows = {True: 0, False: 0}
        self._tokens = {True: 0, False: 0}
        self._longest = 0
        self._most_targets = 0

    def add(self, split: Split, targets: npt.NDArray[np.bool_], preference: int | bool | None) -> None:
        """Count a row: which of its tokens count, and what its column of preferences holds (see `prepared`)."""
        if preference is None:
            return
        if isinstance(preference, bool):
            answers: dict[bool, npt.NDArray[Any]] = {preference: targets}
        else:
            answers = {True: targets[:preference], False: targets[preference:]}
        self._longest = max(self._longest, *(len(answer) for answer in answers.values()))
        self._most_targets = max(self._most_targets, int(np.count_nonzero(targets)))
        if split == "train":
            for wanted, answer in answers.items():
                self._rows[wanted] += 1
                self._tokens[wanted] += int(np.count_nonzero(answer))

    def profile(self) -> PreferencesProfile:
        """Give the counts."""
        return PreferencesProfile(
            chosen_rows=self._rows[True],
            rejected_rows=self._rows[False],
            chosen_tokens=self._tokens[True],
            rejected_tokens=self._tokens[False],
            longest_sequence=self._longest,
            most_targets=self._most_targets,
        )

    def check(self, spec: LoRAFineTuneSpec) -> None:
        """Refuse training rows with labels that are all the same: nothing can be learned from them.

        Raises:
            TrainerError: 65, saying which label is missing.
        """
        if spec.method is None or all(self._rows.values()):
            return
        label, missing = ("true", "false") if self._rows[True] else ("false", "true")
        column = spec.dataset.columns.label or "label"
        raise bad_data(
            f"every training row has {column} {label}; method kto learns from the difference"
            " between wanted and unwanted answers",
            param=spec_paths.DATASET_URI if spec.dataset.sources is None else spec_paths.DATASET_SOURCES,
            hint=f"add rows with {column} {missing}; or leave method out to learn answers that are all wanted",
        )
