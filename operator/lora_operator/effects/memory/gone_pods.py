"""The last state of pods that are gone: how a pod ended counts also after it was deleted."""

from __future__ import annotations

import time
from dataclasses import replace

from lora_operator.core.observe.owner import Owner
from lora_operator.core.observe.pod import Pod

#: How long the last state of a pod that is gone is remembered.
GONE_POD_SECONDS = 600.0


class GonePods:
    """Pods by the Job that made them, each with the moment at which it was forgotten by the tables."""

    def __init__(self) -> None:
        self._by_owner: dict[Owner, list[tuple[float, Pod]]] = {}

    def add(self, owner: Owner, pod: Pod) -> None:
        """Remember the last state of a pod."""
        self._by_owner.setdefault(owner, []).append((time.monotonic(), replace(pod, gone=True)))

    def of(self, owner: Owner) -> list[Pod]:
        """Return the pods of a Job that are gone, the first to go first."""
        return [pod for _, pod in self._by_owner.get(owner, ())]

    def forget_old(self) -> None:
        """Drop the pods that have been gone for long."""
        oldest = time.monotonic() - GONE_POD_SECONDS
        for owner, pods in list(self._by_owner.items()):
            recent = [item for item in pods if item[0] > oldest]
            if recent:
                self._by_owner[owner] = recent
            else:
                del self._by_owner[owner]
