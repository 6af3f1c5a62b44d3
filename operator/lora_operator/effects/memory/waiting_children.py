"""The runs that wait for another one of their namespace: each is looked at when something happens to that one."""

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
        before = self._parent_of.pop(key, None)
        if before is not None and before != parent:
            self._children[before].discard(key)
            if not self._children[before]:
                del self._children[before]
        if parent is not None:
            self._parent_of[key] = parent
            self._children.setdefault(parent, set()).add(key)


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
