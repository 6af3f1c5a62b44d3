"""The runs that wait for another one of their namespace: each is looked at when something happens to that one.

Whether a run waits for itself, over however many others, is found out when a run begins to wait or ceases to, never at
a look: one user may make a chain of thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lora_contract.status import ArtifactStatus, ErrorStatus, Phase
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.stages.parent import awaited_run, waits_for_parent
from lora_operator.effects.kinds import Key


class _State(NamedTuple):
    """What those who wait for a run ask about it; steps and losses are not among it."""

    uid: str
    generation: int
    observed_generation: int | None
    deleting: bool
    phase: Phase | None
    artifact: ArtifactStatus | None
    error: ErrorStatus | None


class WaitingChildren:
    """The waiting runs by the one that they wait for. `look` is called with each that has something new to see."""

    def __init__(self) -> None:
        self.look: Callable[[Key], None] = lambda key: None
        self._parent_of: dict[Key, Key] = {}
        self._children: dict[Key, set[Key]] = {}
        self._states: dict[Key, _State | None] = {}
        #: The runs that in the end wait for themselves.
        self._in_circle: set[Key] = set()

    def in_circle(self, key: Key) -> bool:
        """Return whether a run waits for one that waits for it, over however many others."""
        return key in self._in_circle

    def update(self, key: Key, run: FineTune | None) -> None:
        """Note how a run is; None: it does not exist any more."""
        self._update_child(key, run)
        if key not in self._children:
            self._states.pop(key, None)
            return
        state = None if run is None else _state_of(run)
        if key not in self._states or self._states[key] != state:
            self._states[key] = state
            for child in self._children[key]:
                self.look(child)

    def _update_child(self, key: Key, run: FineTune | None) -> None:
        name = awaited_run(run) if run is not None and waits_for_parent(run) else None
        parent = None if name is None else Key(key.namespace, name)
        before = self._parent_of.get(key)
        if before == parent:
            return
        if before is not None:
            if key in self._in_circle:
                self._in_circle.difference_update(self._above(key))
            del self._parent_of[key]
            self._children[before].discard(key)
            if not self._children[before]:
                del self._children[before]
        if parent is not None:
            self._parent_of[key] = parent
            self._children.setdefault(parent, set()).add(key)
            above = self._above(key)
            if self._parent_of.get(above[-1]) == key:
                self._in_circle.update(above)

    def _above(self, key: Key) -> list[Key]:
        """List a run and those that it waits for, one through the other, up to itself or a circle of others."""
        above = [key]
        while (parent := self._parent_of.get(above[-1])) is not None and parent != key:
            if parent in self._in_circle and key not in self._in_circle:
                break
            above.append(parent)
        return above


def _state_of(run: FineTune) -> _State:
    status = run.status
    return _State(
        run.uid,
        run.generation,
        status.observed_generation,
        run.deleting,
        status.phase,
        status.artifact,
        status.error,
    )
