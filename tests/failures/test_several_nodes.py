"""A run on both nodes of a real cluster: pods that find each other by name, and go on together when one is killed."""

from __future__ import annotations

import time
from typing import Any

from lora_cluster import cluster, node
from lora_cluster.commands import wait_until
from lora_contract.reasons import Reason
from lora_demo.run import is_complete
from support.nodes import answers, kill_node, kill_pods, node_of
from support.tiny_cluster import (
    STEP_SECONDS,
    TOLD_SECONDS,
    TRAINED_SECONDS,
    TinyCluster,
    at_step,
    has_reason,
    train_attempts,
    wait_status,
)

TWO_NODES: dict[str, Any] = {"compute.nodes": 2}


def test_two_pods_on_two_nodes_train_one_adapter(place: TinyCluster) -> None:
    # A run on two nodes
    run = place.create("on-two-nodes", TWO_NODES)
    # It has ended
    status = run.wait_finished(TRAINED_SECONDS)
    # It ended well, with one attempt that names its first pod and counts the GPUs of both
    assert is_complete(status), status.error
    (attempt,) = train_attempts(status)
    assert attempt.reason == Reason.SUCCEEDED
    assert status.usage is not None
    assert status.usage.gpu_seconds == 2 * status.usage.train_seconds
    # Its pods were on both nodes, and the Service between them goes with the run
    assert {pod["spec"]["nodeName"] for pod in place.train_pods(run)} == {"node1", "node2"}
    assert len(place.of_run("services", run)) == 1
    place.delete(run)


def test_a_killed_pod_costs_one_retry_and_the_group_goes_on(place: TinyCluster) -> None:
    # A run on two nodes, in the middle
    run = place.create("one-killed", TWO_NODES | {"training.maxSteps": 600, "training.saveSteps": 100, "retries": 1})
    wait_status(run, "step 200", at_step(200), TRAINED_SECONDS)
    # Every process of the pods on the second node is killed
    kill_pods(node_of(place, 2))
    # That is told, the Job replaces the pod there, and the run ends well within its one retry
    status = wait_status(run, "the end of a pod", lambda status: any(a.end_time for a in train_attempts(status)))
    ended = next(attempt for attempt in train_attempts(status) if attempt.end_time)
    assert ended.node == "node2"
    status = run.wait_finished(TRAINED_SECONDS)
    assert is_complete(status), status.error
    assert status.progress is not None
    assert status.progress.step == 600
    place.delete(run)


def test_a_lost_node_is_replaced_by_another_and_the_group_goes_on(place: TinyCluster) -> None:
    # A run on two of three nodes, the third of which has no GPU yet
    cluster.up(place.name, nodes=3, gpus=1)
    cluster.load(place.name, place.platform.images.archives)
    node.set_gpus(node_of(place, 3), 0)
    steps = {"training.maxSteps": 1200, "training.saveSteps": 100, "retries": 0}
    run = place.create("on-a-lost-node", TWO_NODES | steps)
    wait_status(run, "step 200", at_step(200), TRAINED_SECONDS)
    # The second node is gone without a word, and the third gets a GPU
    kill_node(node_of(place, 2))
    wait_until("the cluster notices", lambda: not answers(place, "node2"), timeout=STEP_SECONDS)
    node.set_gpus(node_of(place, 3), 1)
    # It is told, and the group goes on there from its checkpoint, at the cost of no retry
    since = time.monotonic()
    wait_status(run, "that the node is silent", has_reason(Reason.NODE_LOST))
    assert time.monotonic() - since <= TOLD_SECONDS
    status = run.wait_finished(TRAINED_SECONDS + 480)
    assert is_complete(status), status.error
    assert status.progress is not None
    assert status.progress.step == 1200
    reasons = [attempt.reason for attempt in train_attempts(status)]
    assert Reason.NODE_LOST in reasons
    assert reasons[-1] == Reason.SUCCEEDED
    # A pod that was on a good node is none that failed
    assert set(reasons) <= {Reason.NODE_LOST, Reason.EVICTED, Reason.SUCCEEDED}
    finished = [pod for pod in place.train_pods(run) if pod["status"]["phase"] == "Succeeded"]
    assert {pod["spec"]["nodeName"] for pod in finished} == {"node1", "node3"}
    # The pod on the dead node stays an object until that node is removed; the run goes with the cluster.
