"""Datasets of preferences for short runs: polite answers are preferred to rude ones."""

from __future__ import annotations

import json
import random
from typing import Any

_POLITE = ("Certainly, {}.", "With pleasure: {}.", "Of course, {}.")
_RUDE = ("{}, obviously.", "Ugh. {}.", "{}. Go away.")


def pairs(count: int) -> str:
    """Pairs as JSON lines."""
    return _lines({"prompt": prompt, "chosen": polite, "rejected": rude} for prompt, polite, rude in _answers(count))


def completions(count: int) -> str:
    """Single answers with a label as JSON lines, two of three wanted."""
    rows = (
        {"prompt": prompt, "completion": rude if number % 3 == 1 else polite, "label": number % 3 != 1}
        for number, (prompt, polite, rude) in enumerate(_answers(count))
    )
    return _lines(rows)


def _answers(count: int) -> list[tuple[str, str, str]]:
    chance = random.Random(0)
    numbers = chance.sample(range(1000), count)
    return [
        (f"say {number}", chance.choice(_POLITE).format(number), chance.choice(_RUDE).format(number))
        for number in numbers
    ]


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
