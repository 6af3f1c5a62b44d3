"""Which of the processes of a run this one is. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lora_contract.finetune import ComputeSpec
from lora_contract.names import ENV_GROUP_ADDRESS
from lora_trainer.processes import ENV_FOLDER

_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
_MASTER_HOST, _MASTER_PORT = "MASTER_ADDR", "MASTER_PORT"

#: Exit code of a process that failed only because another one of its group was gone; never that of a pod.
LOST_CONTACT = 98


class LostContact(Exception):  # noqa: N818 - an order to form the group again, not a failure of this process
    """Nothing failed here, but other processes of the run are gone."""


def processes_a_pod(compute: ComputeSpec) -> int:
    """Return one for each GPU, and one without."""
    return max(1, compute.gpus)


def processes(compute: ComputeSpec) -> int:
    """Count the processes of the whole run: `effectiveBatchSize` rows are shared among so many."""
    return processes_a_pod(compute) * compute.nodes


@dataclass(frozen=True)
class Place:
    """A process among those of its run (rank, size) and of its pod (local rank, local size)."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    #: Folder that the processes of the pod share; None for a process that is alone.
    folder: Path | None = None
    #: Where the processes of several pods meet, host and port; None where all are in one pod.
    address: tuple[str, int] | None = None

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def is_leader(self) -> bool:
        """Whether this process speaks for the run: claim, checkpoints, progress, publication."""
        return self.rank == 0

    @property
    def pod(self) -> int:
        """The number of this process's pod, from 0."""
        return self.rank // self.local_size

    @property
    def leads_pod(self) -> bool:
        """Whether this process brings the files that its pod needs."""
        return self.local_rank == 0

    def environment(self) -> dict[str, str]:
        """Return the variables for the process, by the names that torch, accelerate and transformers read."""
        variables = {
            _RANK: str(self.rank),
            _SIZE: str(self.size),
            _LOCAL_RANK: str(self.local_rank),
            _LOCAL_SIZE: str(self.local_size),
            ENV_FOLDER: str(self.folder),
        }
        if self.address is not None:
            variables[_MASTER_HOST], variables[_MASTER_PORT] = self.address[0], str(self.address[1])
        return variables


def place_of(environment: Mapping[str, str] = os.environ) -> Place:
    """Return the place that a launcher gave to this process; alone without one."""
    folder = environment.get(ENV_FOLDER)
    if not folder:
        return Place()
    rank, size, local_rank, local_size = (int(environment[key]) for key in (_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE))
    address = meeting_point(environment) if size > local_size else None
    return Place(rank, size, local_rank, local_size, Path(folder), address)


def meeting_point(environment: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """Return host and port at which the pods of a run on several nodes meet, None where nothing usable is said."""
    host, _, port = environment.get(ENV_GROUP_ADDRESS, "").rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None
