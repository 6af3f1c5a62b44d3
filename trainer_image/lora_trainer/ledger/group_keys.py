"""The keys of a run's groups in its own prefix of the store, which only the run's identity may read."""

from __future__ import annotations

from dataclasses import dataclass

from lora_contract import spec_paths
from lora_contract.layout import RunLayout
from lora_trainer.processes.gate import GroupKey
from lora_trainer.store import Store, about


@dataclass(frozen=True)
class StoredKeys:
    """Keeps each key in an object of its own; they go away with the run's other work when it is published."""

    store: Store
    layout: RunLayout

    def save(self, key: GroupKey) -> None:
        """Leave a key for the other processes of its group."""
        with about(spec_paths.OUTPUT_URI):
            self.store.write(self.layout.group_key(key.id), key.secret)

    def secret_of(self, key_id: str) -> bytes | None:
        """Return the secret of a key, None where the run has no such key."""
        with about(spec_paths.OUTPUT_URI):
            return self.store.read_if_exists(self.layout.group_key(key_id))
