"""Whether the data of a published adapter is still what it was trained on: asked by spec.checkToken, once a token.

A Job on a CPU reads the data with the tenant's rights and answers; the run stays finished whatever it finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.reasons import REASON_OF_EXIT_CODE, Reason
from lora_contract.status import InputsStatus
from lora_contract.times import format_time
from lora_operator.core.manifests.job import job_manifest
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.run.decision import Action, CreateJob, Event
from lora_operator.core.run.run import Run
from lora_operator.core.stages import loss
from lora_operator.core.status.conditions import Fact, conditions


@dataclass(frozen=True)
class Check:
    """A finished run with the latest answer, and what is done to get the next one."""

    run: Run
    #: Name of the Job that is needed until its answer is written.
    job: str | None = None
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    look_again: float | None = None


def check_inputs(run: Run) -> Check:
    """Create the Job, wait for it, take its answer."""
    spec, wanted = run.finetune.spec, ""
    if spec is not None and run.status.artifact is not None and run.status.run_id is not None:
        wanted = spec.check_token
    known = run.status.inputs.check_token if run.status.inputs else ""
    if spec is None or wanted in ("", known):
        return Check(run)
    name = _job_name(run, wanted)
    job = run.observed.job(name)
    if job is None:
        return _start(run, spec, name)
    if job.deleting or not job.finished:
        return Check(run, name)
    return _answer(run, name, job, wanted)


def _job_name(run: Run, token: str) -> str:
    return names.job_name(
        run.finetune.name,
        names.STAGE_CHECK,
        uid=run.finetune.uid,
        spec_hash=run.status.spec_hash or "",
        run_token=f"{run.status.run_token or ''}/{token}",
    )


def _start(run: Run, spec: LoRAFineTuneSpec, name: str) -> Check:
    if error := run.refused_lately(name, names.RUNS_POLICY):
        return Check(run, name, look_again=run.until_retry(error))
    manifest = job_manifest(
        run.finetune,
        spec,
        run.settings,
        stage=names.STAGE_CHECK,
        name=name,
        spec_hash=run.status.spec_hash or "",
        run_id=run.status.run_id,
    )
    return Check(run, name, actions=(CreateJob(manifest),))


def _answer(run: Run, name: str, job: Job, token: str) -> Check:
    pod = next(iter(reversed(run.observed.pods_of(name))), None)
    said = pod.report if pod is not None else None
    if (wait := loss.wait_for_report(run, job)) is not None:
        return Check(run, name, look_again=wait)
    fact = _fact(job, pod)
    kept = [c for c in run.status.conditions if c.type != ConditionType.INPUTS_DRIFTED]
    written = conditions(
        {ConditionType.INPUTS_DRIFTED: fact}, run.status.conditions, generation=run.finetune.generation, now=run.now
    )
    found = InputsStatus(
        check_token=token,
        check_time=format_time(job.ended or run.now),
        dataset_digest=said.dataset_digest if said else None,
    )
    kind: Literal["Normal", "Warning"] = "Normal" if fact[0] == "False" else "Warning"
    run = run.with_status(conditions=[*kept, *written], inputs=found)
    return Check(run, events=(Event(kind, fact[1], fact[2]),))


def _fact(job: Job, pod: Pod | None) -> Fact:
    said = pod.report if pod is not None else None
    if job.complete and said is not None and said.inputs_drifted is not None:
        if said.inputs_drifted:
            text = "The data is not what the adapter was trained on. Change spec.runToken to train on it."
            return ("True", Reason.DATASET_CHANGED, text)
        return ("False", Reason.INPUTS_UNCHANGED, "The data is what the adapter was trained on.")
    if pod is not None and said is not None and said.error is not None and pod.exit_code in REASON_OF_EXIT_CODE:
        reason = next(reason for code, reason in REASON_OF_EXIT_CODE.items() if code == pod.exit_code)
        return ("Unknown", reason, said.error.message)
    why = job.failure.message if job.failure is not None else "its pod's report is missing"
    return ("Unknown", Reason.REPORT_MISSING, f"The check did not end: {why}. Change spec.checkToken to try again.")
