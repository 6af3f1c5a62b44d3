"""How the processes of a run meet: they find the store, wait for each other there, and become a group."""

from __future__ import annotations

import logging
import os
import socket
import time
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.processes.gate import Gate, GroupKey, Keys, Passage
from lora_trainer.processes.group import Group
from lora_trainer.processes.rank import LostContact, Place, place_of

log = logging.getLogger(__name__)

#: Longer than the patience of `callbacks.watchdog`, which also shows the stacks.
_COLLECTIVE_TIMEOUT = timedelta(hours=1)
#: Seconds in which all processes of the run must have come to the meeting point.
_MEETING_SECONDS = 1800.0
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_HINT = "Look at the other pods of the run, and let pods of the namespace reach each other."
_POLL_SECONDS = 0.1


def join(keys: Keys) -> Group:
    """Meet the other processes of the run; alone, without a launcher.

    Processes of several pods meet at a store that lets only those in that find its key in `keys`.

    Raises:
        TrainerError: 69, they did not come.
        LostContact: they came and went again.
    """
    place = place_of()
    if place.alone or place.folder is None:
        return Group()
    refuse_pickles()
    deadline = time.monotonic() + _MEETING_SECONDS
    if place.address is None:
        # All in one pod: nothing listens where another pod could reach it.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        store: dist.Store = dist.FileStore(str(place.folder / "store"), place.size)
    else:
        store = _store_at(*place.address, place, deadline, keys)
    try:
        _meet(store, place, deadline)
    except dist.DistError as error:
        raise LostContact from error
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=dist.PrefixStore("collectives", store),
            rank=place.rank,
            world_size=place.size,
            timeout=_COLLECTIVE_TIMEOUT,
        )
    except RuntimeError as error:
        raise LostContact from error
    log.info("process %d of %d", place.rank, place.size)
    return Group(place, dist.PrefixStore("words", store))


def refuse_pickles() -> None:
    """Make torch's collectives of Python objects, which unpickle what they receive, fail: libraries call them, too."""

    def refuse(*_arguments: Any, **_options: Any) -> NoReturn:
        raise RuntimeError("processes send each other tensors and JSON, never objects: unpickling them runs code")

    dist.distributed_c10d._object_to_tensor = refuse
    dist.distributed_c10d._tensor_to_object = refuse


def _store_at(host: str, port: int, place: Place, deadline: float, keys: Keys) -> dist.Store:
    """Open the store that the leader keeps for processes of several pods, behind a gate.

    Its name and its pod may come late, so it is tried until then, where SIGTERM is heard.

    Raises:
        TrainerError: 69, it did not come; 77, the key of the group may not be read.
    """
    if place.is_leader:
        return _guarded_store(port, keys)
    while True:
        passage: Passage | None = None
        try:
            passage = Passage(host, port, keys)
            return dist.TCPStore(
                "127.0.0.1", passage.port, is_master=False, timeout=timedelta(seconds=_CONNECT_SECONDS)
            )
        except (OSError, dist.DistError) as error:
            if passage is not None:
                passage.close()
            if time.monotonic() > deadline:
                raise TrainerError(
                    ExitCode.UNAVAILABLE,
                    f"the first pod of the run cannot be reached at {host}:{port}: {error}",
                    hint=_HINT,
                ) from None
        time.sleep(_RETRY_SECONDS)


def _guarded_store(port: int, keys: Keys) -> dist.Store:
    """Make a store on the loopback interface, and a gate before it on all others that asks for a new key."""
    listener = socket.create_server(("127.0.0.1", 0))
    behind: int = listener.getsockname()[1]
    store = dist.TCPStore(
        "127.0.0.1", behind, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )
    key = GroupKey()
    keys.save(key)
    Gate(key, port=port, behind=behind)
    return store


def _meet(store: dist.Store, place: Place, deadline: float) -> None:
    """Wait for all where SIGTERM is heard, before `init_process_group` waits where it is not."""
    if store.add(f"here/{place.rank}", 1) > 1:
        # Another process had this place, so this is the group of a leader that goes on to its end without us.
        log.info("waiting for the end of the present group")
        while True:
            store.check(["never"])  # fails when the leader ends
            time.sleep(_POLL_SECONDS)
    everybody = [f"here/{rank}" for rank in range(place.size)]
    while not store.check(everybody):
        if time.monotonic() > deadline:
            missing = [rank for rank in range(place.size) if not store.check([f"here/{rank}"])]
            raise TrainerError(
                ExitCode.UNAVAILABLE,
                f"processes {missing} of {place.size} did not come within {_MEETING_SECONDS:.0f} s",
                hint=_HINT,
            )
        time.sleep(_POLL_SECONDS)
