"""docs/reasons.md explains every reason, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from lora_contract.reasons import Reason
from lora_operator.core.causes.remedies import REMEDIES

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"


def test_every_reason_has_exactly_one_row() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("## Waiting in a queue")[0]
    rows = re.findall(r"^\| `(\w+)` \|", sections, flags=re.MULTILINE)

    assert sorted(rows) == sorted(Reason)


def test_every_remedy_is_a_sentence() -> None:
    assert all(text[0].isupper() and text.endswith(".") for text in REMEDIES.values())
