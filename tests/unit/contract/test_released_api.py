"""What was released stays: fields, words, addresses and hashes may be added, never changed or taken away."""

from __future__ import annotations

import json
from pathlib import Path

from support.released_api import facts

RELEASED = json.loads(Path(__file__).with_name("released_api.json").read_text())


def test_nothing_that_was_released_is_changed_or_taken_away() -> None:
    now = json.loads(json.dumps(facts(), default=str))
    changed = {path: (value, now.get(path, "gone")) for path, value in RELEASED.items() if now.get(path) != value}
    assert not changed
