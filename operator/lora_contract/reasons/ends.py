"""Reasons for which a run ends that could have been trained."""

from __future__ import annotations

from lora_contract.reasons.facts import AGAIN, ReasonFacts
from lora_contract.reasons.reason import Reason

REASONS = {
    Reason.RETRIES_EXHAUSTED: ReasonFacts(
        meaning="The pod failed more often than `spec.retries` allows; the message has the last failure.",
        advice="Remove that cause, then delete the run and apply it again: it goes on from the last checkpoint.",
        remedy="Remove the cause of the last failure, " + AGAIN,
    ),
    Reason.DEADLINE_EXCEEDED: ReasonFacts(
        meaning="The train Job ran longer than `scheduling.maxExecutionSeconds`.",
        advice="Raise it, then delete the run and apply it again: it resumes.",
        remedy="Raise scheduling.maxExecutionSeconds or train fewer steps, " + AGAIN,
    ),
    Reason.PREPARE_DEADLINE_EXCEEDED: ReasonFacts(
        meaning=(
            "The prepare Job ran longer than the platform allows (chart value `trainer.prepare.deadlineSeconds`, "
            "6 hours unless it says otherwise)."
        ),
        advice=(
            "Look in its log for what takes so long; use less data, or ask the platform team to raise the limit. "
            "Then delete the run and apply it again."
        ),
        remedy=(
            "Look in the prepare pod's log for what takes so long; use less data, or ask the platform team to "
            "raise trainer.prepare.deadlineSeconds," + AGAIN
        ),
    ),
    Reason.OTHER_CONTAINERS_RUNNING: ReasonFacts(
        meaning=(
            "Something injected containers into the pod. Either the pod waits for an init container that the "
            "message names, or the work of the stage is done, but the named containers keep the pod and with it "
            "the Job from ending. After five minutes the operator takes the result of the finished container as "
            "it stands and deletes the Job; a pod that ended with an error that another try may mend keeps this "
            "reason."
        ),
        advice=(
            "Make the injected container a native sidecar (an init container with `restartPolicy: Always`), or "
            "keep it out with the injector's annotation: the platform team sets it in `trainer.podAnnotations`."
        ),
    ),
    Reason.PARENT_FAILED: ReasonFacts(
        meaning="The run that `from.run` names failed, before this one could begin; the message says for what reason.",
        advice=(
            "Correct the other run and apply it again; then delete this one and apply it again, or change its "
            "`runToken`. An adapter that only missed its gate can be named in `from.adapter`."
        ),
        remedy=(
            "Correct that run and apply it again, then change spec.runToken here; an adapter that only missed its gate "
            "can be named in from.adapter."
        ),
    ),
    Reason.REPORT_MISSING: ReasonFacts(
        meaning=(
            "The Job is complete but its pod was gone before its report was read. Prepare then looks in S3 once, "
            "without a GPU: an adapter that was published is the run's adapter. This reason stays only where "
            "there is none."
        ),
        advice="Delete the run and apply it again: it goes on from the last checkpoint.",
        remedy="Find out what removes the pods, " + AGAIN,
    ),
}
