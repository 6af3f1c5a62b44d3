"""What was released stays: fields, words, addresses and hashes may be added, never changed or taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.released_api import facts

RELEASED = json.loads(Path(__file__).with_name("released_api.json").read_text())


def takes_all_of(now: Any, before: Any) -> bool:
    """Whether a field takes every value that it took: more words of an enum, and integers beside text, may come."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return bool(now == before)
    if now.get("x-kubernetes-int-or-string"):
        now = {"type": "string"} | {key: value for key, value in now.items() if key != "x-kubernetes-int-or-string"}
    if "enum" in before and set(before["enum"]) <= set(now.get("enum", ())):
        now = now | {"enum": before["enum"]}
    return bool(now == before)


def test_nothing_that_was_released_is_changed_or_taken_away() -> None:
    now = json.loads(json.dumps(facts(), default=str))
    changed = {
        path: (value, now.get(path, "gone"))
        for path, value in RELEASED.items()
        if not takes_all_of(now.get(path, "gone"), value)
    }
    assert not changed
