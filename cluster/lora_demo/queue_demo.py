"""`make demo-queue`: two teams share one GPU; an urgent run preempts another one, and both finish."""

from __future__ import annotations

import copy
import time
from typing import Any

import yaml

from lora_cluster import cluster, tools
from lora_cluster.commands import wait_until
from lora_cluster.errors import ClusterError
from lora_cluster.progress import say
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus
from lora_demo import images, model, seaweedfs, up
from lora_demo.kubernetes import Kubernetes
from lora_demo.platform import Platform, manifest
from lora_demo.run import Run, is_complete, progress_line

TEAMS = ("team-a", "team-b")
QUEUES = "queues.yaml"
_RUN_SECONDS = 900
_WEBHOOK_SECONDS = 120
_POLL_SECONDS = 1.0


def show(name: str) -> None:
    """Show preemption on our cluster `name`, which gets Kueue.

    Raises:
        ClusterError: a step failed; the message says what to do.
    """
    platform = _platform(name)
    kubernetes = platform.kubernetes
    for team in TEAMS:
        platform.add_tenant(team)
    say(f"kubectl apply -f examples/{QUEUES}: one GPU for {' and '.join(TEAMS)}")
    wait_until("Kueue to take the queues", lambda: _queues_applied(kubernetes), timeout=_WEBHOOK_SECONDS)

    patient = _apply(kubernetes, TEAMS[0], "patient", priority="normal", steps=24)
    _follow([patient], "trains", lambda status: status.progress is not None and status.progress.step >= 3)
    urgent = _apply(kubernetes, TEAMS[1], "urgent", priority="urgent", steps=4)
    _follow([patient, urgent], "is preempted", lambda status: status.phase == "Queued")
    _follow([urgent, patient], "ends", lambda status: status.finished)
    _follow([patient], "ends", lambda status: status.finished)

    for run in (urgent, patient):
        _tell_end(run)


def _platform(name: str) -> Platform:
    say("programs of the cluster, images and model: building or reusing")
    tools.build((*tools.DEFAULT_TOOLS, "kueue"))
    built = images.ensure(seaweedfs.program())
    model.ensure()
    started = cluster.up(name, nodes=1, gpus=1, kueue=True)
    cluster.load(name, built.archives)
    platform = Platform(Kubernetes(started.kubeconfig), built)
    say("S3 server and operator: starting or reusing")
    platform.start_storage()
    with platform.storage.connected() as client:
        up.upload_model(client)
        up.upload_data(client)
    platform.install_operator()
    return platform


def _queues_applied(kubernetes: Kubernetes) -> bool:
    """Apply the queues: Kueue's webhooks answer a moment after its Deployment is available."""
    return kubernetes.succeeds("apply", f"--filename={manifest(QUEUES)}")


def _apply(kubernetes: Kubernetes, team: str, name: str, *, priority: str, steps: int) -> Run:
    """Apply the quickstart with another name, team and priority, and fewer steps; a run of an earlier demo goes."""
    run = Run(kubernetes, team, name)
    run.delete()
    say(f"{team} applies {name}: priority {priority}, {steps} steps")
    kubernetes.apply([_resource(team, name, priority=priority, steps=steps)])
    return run


def _resource(team: str, name: str, *, priority: str, steps: int) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(manifest(up.QUICKSTART).read_text())
    resource = copy.deepcopy(document)
    resource["metadata"] = {"name": name, "namespace": team}
    spec = resource["spec"]
    spec["training"] |= {"maxSteps": steps, "evalSteps": steps, "saveSteps": steps}
    spec["evaluation"] = {"samples": 1, "maxNewTokens": 8}
    spec["output"]["uri"] = f"s3://{seaweedfs.ADAPTERS}/{team}/"
    spec["scheduling"] = {"queueName": "team", "priorityClass": priority}
    spec["runToken"] = str(int(time.time()))  # trains anew though an earlier demo published the same
    return resource


def _follow(runs: list[Run], what: str, reached: Any) -> None:
    """Tell what happens to the runs until it is so with the first."""
    deadline = time.monotonic() + _RUN_SECONDS
    while True:
        statuses = [(run, run.status()) for run in runs]
        for run, status in statuses:
            _tell(run, status)
        first = statuses[0][1]
        if reached(first):
            return
        if first.finished:
            raise ClusterError(f"{runs[0].name} ended before it {what}: {progress_line(first)}")
        if time.monotonic() > deadline:
            raise ClusterError(f"{runs[0].name} waits for too long until it {what}: {progress_line(first)}")
        time.sleep(_POLL_SECONDS)


_told: dict[str, str] = {}


def _tell(run: Run, status: LoRAFineTuneStatus) -> None:
    """Print a line for every change of a run."""
    reason = next((c.message for c in status.conditions if c.type == "Ready"), "")
    line = f"{status.phase}: {reason}" if reason and status.phase != "Running" else progress_line(status)
    if _told.get(run.name) != line:
        say(f"  {run.namespace}/{run.name}  {line}")
        _told[run.name] = line


def _tell_end(run: Run) -> None:
    status = run.status()
    if not is_complete(status):
        raise ClusterError(f"{run.name} failed: {status.error.message if status.error else progress_line(status)}")
    usage = status.usage
    say(f"{run.namespace}/{run.name}:")
    for attempt in status.attempts:
        say(f"  {_attempt_line(attempt)}")
    if usage is not None:
        say(
            f"  staging {usage.staging_seconds} s, queue {usage.queue_seconds} s, training {usage.train_seconds} s,"
            f" lost steps {usage.lost_steps}"
        )


def _attempt_line(attempt: AttemptStatus) -> str:
    steps = f"steps {attempt.from_step or 0} to {attempt.last_step}" if attempt.last_step is not None else "no step"
    return f"{attempt.pod}: {steps}, ended {attempt.reason}"
