"""What an adapter unlearned: its loss on general text that comes with the image, beside the base model's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from transformers import PreTrainedTokenizerBase

from lora_trainer.batches.batch import Row
from lora_trainer.evaluation.losses import measure
from lora_trainer.train.session import Session

log = logging.getLogger(__name__)

_LONGEST = 256
#: A loss this many times that of the base is told as a warning.
_NOTABLE = 1.1


@dataclass(frozen=True)
class Forgetting:
    """Losses on the general text, in nats per token."""

    base: float
    adapter: float

    @property
    def ratio(self) -> float:
        """Adapter by base: 1 forgot nothing."""
        return self.adapter / self.base

    def warnings(self) -> list[str]:
        """Say in the report where the adapter forgot much."""
        if self.ratio <= _NOTABLE:
            return []
        return [
            f"on general text the adapter's loss is {self.ratio:.2f} times that of the base model ({self.adapter:.3f}"
            f" against {self.base:.3f}): it may have forgotten other skills; fewer steps, a lower learningRate or a"
            " smaller lora.r keep more of them"
        ]


def general_rows(tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Make rows of the passages, as plain text without a chat template; every token but the first counts."""
    text = files(__package__).joinpath("general_text.txt").read_text(encoding="utf-8")
    rows = []
    for passage in text.strip().split("\n\n"):
        ids = np.asarray(tokenizer(passage)["input_ids"][:_LONGEST], dtype=np.int32)
        rows.append(Row(ids, np.arange(len(ids)) > 0))
    return rows


def measure_forgetting(session: Session, alive: Callable[[], None]) -> Forgetting:
    """Measure adapter and base. `alive` is called before every batch."""
    model, rows = session.adapted.model, general_rows(session.tokenizer)
    adapter = measure(session.forward_pass, model, rows, alive=alive).loss
    with model.disable_adapter():
        base = measure(session.forward_pass, model, rows, alive=alive).loss
    log.info("loss on general text: base %.4f, adapter %.4f", base, adapter)
    return Forgetting(base, adapter)
