"""A spec that must be refused, and the words that its refusal must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BadSpec:
    """A spec that must be refused.

    `says` are fragments of the API server's message: the field, and what to do about it.
    """

    id: str
    changes: dict[str, Any]
    says: tuple[str, ...]


def bad(name: str, changes: dict[str, Any], *says: str) -> BadSpec:
    """A bad spec, shorter to write."""
    return BadSpec(name, changes, says)
