"""What is on record about the clusters of this machine: one small file in each run directory."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from lora_cluster.errors import ClusterError
from lora_cluster.layout import MAX_SLOTS, RUN_ROOT, Layout, run_directory
from lora_cluster.processes import daemons

# Held by whoever starts or ends a cluster.
LOCK = RUN_ROOT / ".lock"
RECORD = "cluster.json"


@dataclass(frozen=True)
class State:
    """One cluster as its creator left it; `slot` is None for an API server without nodes."""

    name: str
    slot: int | None
    nodes: int = 0
    complete: bool = False

    @property
    def directory(self) -> Path:
        """The run directory."""
        return run_directory(self.name)

    @property
    def layout(self) -> Layout | None:
        """Names and addresses, for a cluster with nodes."""
        return None if self.slot is None else Layout(self.name, self.slot)

    def alive(self) -> bool:
        """Tell whether creation was finished and every daemon still runs."""
        group = daemons(self.directory)
        return self.complete and bool(group) and all(daemon.alive() for daemon in group)

    def write(self) -> None:
        """Put the state on record."""
        self.directory.mkdir(parents=True, exist_ok=True)
        half = self.directory / f".{RECORD}"
        half.write_text(json.dumps(dataclasses.asdict(self)))
        half.rename(self.directory / RECORD)


def read(name: str) -> State | None:
    """Return what is on record about the cluster `name`."""
    try:
        return State(**json.loads((run_directory(name) / RECORD).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ClusterError(f"{run_directory(name) / RECORD} is not readable: {error}") from error


def recorded() -> list[State]:
    """Return every cluster on record, running or not."""
    states = (read(path.parent.name) for path in sorted(RUN_ROOT.glob(f"*/{RECORD}")))
    return [state for state in states if state is not None]


def free_slot(taken: list[State]) -> int:
    """Return the lowest slot that none of `taken` has."""
    for slot in range(MAX_SLOTS):
        if all(state.slot != slot for state in taken):
            return slot
    raise ClusterError(f"{MAX_SLOTS} clusters run already: end one with `python -m lora_cluster down --name NAME`")
