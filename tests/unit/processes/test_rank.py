"""How a process learns which of the processes of its run it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.finetune import ComputeSpec
from lora_contract.names import ENV_GROUP_ADDRESS
from lora_trainer.processes.rank import Place, meeting_point, place_of, processes

FOLDER = Path("/scratch/group-1")


def test_without_a_launcher_a_process_is_alone_whatever_others_left_in_its_environment() -> None:
    place = place_of({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "8"})
    assert place.alone
    assert place.is_leader
    assert place.leads_pod


def test_a_process_of_one_pod_finds_its_place() -> None:
    place = Place(1, 2, 1, 2, FOLDER)
    assert place_of(place.environment()) == place
    assert (place.is_leader, place.leads_pod, place.pod) == (False, False, 0)


def test_a_process_of_several_pods_finds_its_place_and_the_first_pod() -> None:
    place = Place(2, 4, 0, 2, FOLDER, ("triage-train-0.lora", 29500))
    environment = place.environment() | {ENV_GROUP_ADDRESS: "triage-train-0.lora:29500"}
    assert place_of(environment) == place
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("triage-train-0.lora", "29500")
    assert (place.is_leader, place.leads_pod, place.pod) == (False, True, 1)


@pytest.mark.parametrize("text", ["", "host", "host:", ":29500", "host:port"])
def test_an_address_that_is_none_is_seen(text: str) -> None:
    assert meeting_point({ENV_GROUP_ADDRESS: text}) is None


@pytest.mark.parametrize(("gpus", "nodes", "count"), [(0, 1, 1), (1, 1, 1), (4, 1, 4), (4, 2, 8), (0, 3, 3)])
def test_there_is_a_process_for_each_gpu_and_one_without(gpus: int, nodes: int, count: int) -> None:
    assert processes(ComputeSpec(gpus=gpus, nodes=nodes)) == count
