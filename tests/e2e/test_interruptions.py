"""Runs that are killed, suspended or deleted: nothing is lost, nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from e2e.conftest import Finished
from lora_cluster.commands import wait_until
from lora_contract import layout
from lora_contract.reasons import Reason
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus
from lora_demo.platform import OPERATOR_NAMESPACE, RELEASE
from lora_demo.run import Run, is_complete
from support import e2e
from support.e2e import NAMESPACE, Rig


def test_a_run_that_is_killed_and_then_suspended_goes_on_to_the_same_adapter(rig: Rig, finished: Finished) -> None:
    # A run of the same recipe that has a checkpoint in S3 and went on from it
    run = rig.create("interrupted", {"runToken": "again"})
    rig.wait(run, "step 5", _reached(5), e2e.TRAINED_SECONDS)
    # Its pod is killed without a chance to save, and another one gets farther than the first can have come
    victim = rig.pods(run, "train")[-1]["metadata"]["name"]
    rig.kubernetes.run("delete", "pod", victim, f"--namespace={NAMESPACE}", "--force", "--grace-period=0")
    status = rig.wait(run, "a second pod", lambda status: len(_trained(status)) == 2, e2e.TRAINED_SECONDS)
    assert status.progress is not None
    farther = max(20, status.progress.step + 1)
    rig.wait(run, f"step {farther}", _reached(farther), e2e.TRAINED_SECONDS)
    # When it is suspended, that pod saves what it has and goes
    _suspend(run, suspended=True)
    rig.wait(run, "Suspended", lambda status: status.phase == "Suspended")
    wait_until("the pod is gone", lambda: not _running(rig, run), timeout=e2e.REACTION_SECONDS)
    # When it goes on, it comes to its end
    _suspend(run, suspended=False)
    status = run.wait_finished(e2e.TRAINED_SECONDS)
    assert is_complete(status), status.error
    first, second, third = _trained(status)
    # The second pod went on from the newest checkpoint
    assert first.pod == victim
    assert first.reason == Reason.POD_DELETED
    # (a periodic one, or what it saved in the moment that the kubelet leaves even to a forced deletion)
    assert second.from_step in range(4, e2e.STEPS)
    # The third did no step again, so what was lost, was lost to the kill
    assert second.last_step in range(farther, e2e.STEPS)
    assert third.from_step == second.last_step
    assert (third.last_step, third.exit_code) == (e2e.STEPS, 0)
    assert status.usage is not None
    assert 0 <= status.usage.lost_steps <= 5
    # The weights are bit for bit those of the undisturbed run
    weights = [rig.manifest(each)["files"][layout.ADAPTER_WEIGHTS] for each in (status, finished.status)]
    assert weights[0] == weights[1]


def test_a_run_deleted_while_it_trains_leaves_nothing(rig: Rig) -> None:
    run = rig.create("dropped", {"runToken": "dropped"})
    rig.wait(run, "step 1", _reached(1), e2e.TRAINED_SECONDS)
    _delete(run)
    wait_until("nothing is left", lambda: rig.nothing_left(run), timeout=e2e.REACTION_SECONDS)


def test_a_run_deleted_while_it_prepares_leaves_nothing(rig: Rig) -> None:
    run = rig.create("early", {"runToken": "early"})
    wait_until("its prepare Job", lambda: bool(run.jobs()), timeout=e2e.REACTION_SECONDS)
    _delete(run)
    wait_until("nothing is left", lambda: rig.nothing_left(run), timeout=e2e.REACTION_SECONDS)


@pytest.fixture
def stop_operator(rig: Rig) -> Iterator[Callable[[], None]]:
    """A way to stop the operator; it runs again afterwards."""

    def scale(replicas: int) -> None:
        rig.kubernetes.run(
            "scale", f"deployment/{RELEASE}", f"--namespace={OPERATOR_NAMESPACE}", f"--replicas={replicas}"
        )

    yield lambda: scale(0)
    scale(1)
    rig.kubernetes.wait_rollout(RELEASE, namespace=OPERATOR_NAMESPACE, seconds=e2e.REACTION_SECONDS)


def test_a_run_deleted_while_the_operator_is_away_leaves_nothing(rig: Rig, stop_operator: Callable[[], None]) -> None:
    run = rig.create("orphan", {"runToken": "orphan"})
    wait_until("its prepare Job", lambda: bool(run.jobs()), timeout=e2e.REACTION_SECONDS)
    stop_operator()
    _delete(run)
    wait_until("nothing is left", lambda: rig.nothing_left(run), timeout=e2e.REACTION_SECONDS)


def _trained(status: LoRAFineTuneStatus) -> list[AttemptStatus]:
    return [attempt for attempt in status.attempts if attempt.stage == "train"]


def _reached(step: int) -> Callable[[LoRAFineTuneStatus], bool]:
    return lambda status: status.progress is not None and status.progress.step >= step


def _running(rig: Rig, run: Run) -> bool:
    return any(pod["status"]["phase"] == "Running" for pod in rig.pods(run, "train"))


def _suspend(run: Run, *, suspended: bool) -> None:
    patch = f'{{"spec":{{"suspend":{str(suspended).lower()}}}}}'
    run.kubernetes.run("patch", "lft", run.name, f"--namespace={run.namespace}", "--type=merge", f"--patch={patch}")


def _delete(run: Run) -> None:
    run.kubernetes.run("delete", "lft", run.name, f"--namespace={run.namespace}", "--wait=false")
