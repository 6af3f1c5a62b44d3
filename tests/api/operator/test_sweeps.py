"""Sweeps, seen from outside: one YAML in, runs, a table of trials and the best adapter out."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.report import Report
from lora_contract.status import MetricsStatus
from lora_contract.sweep import TrialPhase
from support import operator
from support.api_proxy import api_proxy
from support.api_server import eventually
from support.kubelet import kubelet
from support.operator import StartOperator
from support.pods import adopted, prepared, trained
from support.progress_endpoint import Endpoint
from support.runs import Runs
from support.specs import REMOVED
from support.sweeps import Sweeps, sweep

#: The evaluation loss of each of four trials.
LOSSES = {"rates-00": "0.9", "rates-01": "0.5", "rates-02": "0.7", "rates-03": "0.6"}
TWO_TRIALS = {"grid": REMOVED, "trials": [{}, {"lora": {"r": 8}}]}


def script(run: str, stage: str) -> Report:
    """What the pods of trials report."""
    if stage == names.STAGE_PREPARE:
        return prepared(run)
    return trained().model_copy(update={"metrics": MetricsStatus(best_eval_loss=LOSSES[run], test_loss="0.8")})


def all_runs(sweeps: Sweeps) -> list[str]:
    """The names of all runs of the namespace."""
    listed = client.CustomObjectsApi(sweeps.api).list_namespaced_custom_object(
        names.GROUP, names.VERSION, sweeps.namespace, names.PLURAL
    )
    return sorted(item["metadata"]["name"] for item in listed["items"])


def test_a_sweep_runs_all_trials_and_names_the_best(sweeps: Sweeps, runs: Runs, running_operator: None) -> None:
    sweeps.create("rates", sweep())
    most = 0

    def count(run: str, stage: str) -> Report:
        nonlocal most
        most = max(most, sweeps.status("rates").active or 0)
        return script(run, stage)

    with kubelet(runs.pods, count):
        status = sweeps.reaches("rates", ConditionType.COMPLETE, seconds=120)

    assert most == 2
    assert [(row.name, row.phase, row.best_eval_loss) for row in status.trials] == [
        (name, TrialPhase.COMPLETE, loss) for name, loss in LOSSES.items()
    ]
    assert status.best is not None
    assert (status.best.trial, status.best.best_eval_loss, status.best.test_loss) == ("rates-01", "0.5", "0.8")
    assert status.best.parameters == {"lora.r": "8", "training.learningRate": "0.0002"}
    assert runs.finetunes.get("rates-01")["spec"]["training"]["learningRate"] == 0.0002
    assert runs.stages("rates-03") == ["prepare", "train"]


def test_a_deleted_sweep_takes_its_runs_along(sweeps: Sweeps, runs: Runs, running_operator: None) -> None:
    sweeps.create("rates", sweep())
    sweeps.trial_is("rates-01", TrialPhase.PREPARING)
    sweeps.delete("rates")
    eventually("its runs are gone", lambda: not all_runs(sweeps))


def test_a_sweep_that_is_applied_again_trains_nothing_again(sweeps: Sweeps, runs: Runs, running_operator: None) -> None:
    found = adopted().model_copy(update={"metrics": MetricsStatus(best_eval_loss="0.5")})
    sweeps.create("rates", sweep(TWO_TRIALS))
    with kubelet(runs.pods, lambda _, __: found):
        status = sweeps.reaches("rates", ConditionType.COMPLETE, seconds=120)

    assert status.best is not None
    assert all(runs.stages(row.name) == ["prepare"] for row in status.trials)


def train(runs: Runs, endpoint: Endpoint, name: str, loss: str) -> None:
    """Bring a run to training, and report half of its steps with an evaluation loss."""
    runs.pods.run(name, names.STAGE_PREPARE, prepared(name))
    pod = runs.pods.appears(name, names.STAGE_TRAIN)
    runs.pods.starts(pod)
    runs.in_phase(name, "Running")
    metrics = [{"name": "step", "value": "20"}, {"name": "best_eval_loss", "value": loss}]
    body = {"trainerStatus": {"progressPercentage": 50, "metrics": metrics}}
    code, message = endpoint.post(endpoint.address(name), endpoint.token(pod), body)
    assert code == 200, message


def test_a_trial_that_falls_behind_gives_its_gpu_back(sweeps: Sweeps, runs: Runs, endpoint: Endpoint) -> None:
    sweeps.create("rates", sweep(TWO_TRIALS | {"medianStopping": {"minTrials": 1}}))
    train(runs, endpoint, "rates-00", "0.5")
    train(runs, endpoint, "rates-01", "0.8")

    row = sweeps.trial_is("rates-01", TrialPhase.STOPPED)
    assert row.stopped_at_percent == 50
    runs.reaches("rates-01", ConditionType.SUSPENDED)
    jobs = client.BatchV1Api(sweeps.api).list_namespaced_job(sweeps.namespace).items
    assert [job.metadata.labels[names.LABEL_FINETUNE] for job in jobs if job.spec.suspend] == ["rates-01"]

    (pod,) = runs.pods.all("rates-00", names.STAGE_TRAIN)
    runs.pods.ends(pod, script("rates-01", names.STAGE_TRAIN))
    status = sweeps.reaches("rates", ConditionType.COMPLETE)
    assert status.best is not None
    assert status.best.trial == "rates-00"
    assert status.trials[1].phase == TrialPhase.STOPPED


def test_a_suspended_sweep_holds_no_pod_until_it_goes_on(sweeps: Sweeps, runs: Runs, running_operator: None) -> None:
    sweeps.create("rates", sweep())
    sweeps.trial_is("rates-01", TrialPhase.PREPARING)
    sweeps.patch("rates", {"suspend": True})
    for name in ("rates-00", "rates-01"):
        sweeps.trial_is(name, TrialPhase.SUSPENDED)
    assert sweeps.reaches("rates", ConditionType.SUSPENDED).phase == "Suspended"
    assert all_runs(sweeps) == ["rates-00", "rates-01"]

    sweeps.patch("rates", {"suspend": False})
    with kubelet(runs.pods, script):
        sweeps.reaches("rates", ConditionType.COMPLETE, seconds=120)


def test_a_name_that_is_taken_is_told_and_tried_again(sweeps: Sweeps, runs: Runs, running_operator: None) -> None:
    runs.apply("rates-00")
    sweeps.create("rates", sweep())

    def refused() -> bool:
        condition = sweeps.status("rates").condition(ConditionType.RECONCILING)
        return condition is not None and condition.reason == "TrialRefused"

    eventually("it is told", refused)
    condition = sweeps.status("rates").condition(ConditionType.RECONCILING)
    assert condition is not None
    assert "rates-00 exists and was not made for this object" in condition.message

    runs.finetunes.delete("rates-00")
    sweeps.trial_is("rates-00", TrialPhase.PREPARING)


def test_a_spec_that_cannot_be_run_says_which_trial(sweeps: Sweeps, running_operator: None) -> None:
    sweeps.create("rates", sweep({"grid.training.epochs": [1]}))
    status = sweeps.reaches("rates", ConditionType.STALLED)
    condition = status.condition(ConditionType.STALLED)
    assert condition is not None
    assert condition.reason == "SpecInvalid"
    assert "spec.trial 0 (lora.r: 8, training.epochs: 1, training.learningRate: 0.0001)" in condition.message
    assert all_runs(sweeps) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3])
def test_an_operator_killed_at_any_write_creates_each_trial_once(
    *,
    sweeps: Sweeps,
    start_operator: StartOperator,
    control_plane: ControlPlane,
    operator_kubeconfig: Path,
    tmp_path: Path,
    when: str,
    write: int,
) -> None:
    """Writes of a sweep's first look: two runs and the status."""
    with api_proxy(control_plane) as proxy:
        kubeconfig = operator.redirect(operator_kubeconfig, proxy.url, tmp_path / "kubeconfig")
        killed = start_operator(kubeconfig=kubeconfig)
        proxy.strike(write, "before" if when == "before" else "after", killed.kill)
        sweeps.create("rates", sweep())
        eventually("the operator was killed", lambda: not killed.running)
        proxy.forget()
        start_operator(kubeconfig=kubeconfig)
        row = sweeps.trial_is("rates-01", TrialPhase.PREPARING)

    assert row.parameters["training.learningRate"] == "0.0002"
    assert all_runs(sweeps) == ["rates-00", "rates-01"]
    assert [row.phase for row in sweeps.status("rates").trials[2:]] == [TrialPhase.WAITING] * 2
