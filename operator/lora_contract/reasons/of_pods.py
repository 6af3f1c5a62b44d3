"""Reasons of what happened to a pod: retried, waited for, or not counted."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode
from lora_contract.reasons.facts import AGAIN, ReasonFacts
from lora_contract.reasons.reason import Reason

REASONS = {
    Reason.UNAVAILABLE: ReasonFacts(
        exit_code=ExitCode.UNAVAILABLE,
        meaning=(
            "S3 or the Hub could not be reached, or refused what it had allowed before, for the platform's "
            "`unavailableBudgetSeconds`."
        ),
        consequence="Retried; each new pod reads the Secret anew.",
        advice="Check endpoint, DNS and network policies from the namespace; after an exchange of keys, the Secret.",
        remedy="Check that S3 and the Hub can be reached from the namespace, " + AGAIN,
    ),
    Reason.STORAGE_FULL: ReasonFacts(
        exit_code=ExitCode.STORAGE_FULL,
        meaning="The disk behind the output, or the quota of its bucket, is full.",
        consequence="Retried.",
        advice="Free space there or raise the quota.",
        remedy="Free space in the output's bucket or raise its quota, " + AGAIN,
    ),
    Reason.INTERNAL_ERROR: ReasonFacts(
        exit_code=ExitCode.INTERNAL,
        meaning="The process ended in a way it should not.",
        consequence="Retried once; the second time the run fails.",
        advice="Read the pod's log; report a defect.",
        remedy="Read the pod's log; if it looks like a defect, report it, " + AGAIN,
    ),
    Reason.VERIFICATION_FAILED: ReasonFacts(
        exit_code=ExitCode.VERIFICATION_FAILED,
        meaning="The saved adapter is not the one that was trained, or not fit to be published.",
        consequence="The run fails; a retry would give the same.",
        advice="Read the pod's log; report a defect.",
        remedy="Read the pod's log and report a defect; nothing was published.",
    ),
    Reason.STALLED: ReasonFacts(
        exit_code=ExitCode.STALLED,
        meaning="No step was finished for too long.",
        consequence="Retried.",
        advice="Read the pod's log; look at node and GPU.",
        remedy="Read the pod's log for the step it stood still at, " + AGAIN,
    ),
    Reason.GPU_FAILED: ReasonFacts(
        exit_code=ExitCode.GPU_FAILED,
        meaning="The GPU or its driver failed, for instance an uncorrectable memory error.",
        consequence="Retried, on another node if there is one with room.",
        advice="Platform team: look at the GPU of the node in `status.attempts`.",
        remedy="Ask the platform team to check the GPUs of the nodes in status.attempts, " + AGAIN,
        moves_to_other_node=True,
    ),
    Reason.OOM_KILLED: ReasonFacts(
        meaning="The container used more memory than `compute.memory`.",
        consequence="Retried.",
        advice="Raise `compute.memory`.",
        remedy="Raise compute.memory, " + AGAIN,
    ),
    Reason.KILLED: ReasonFacts(
        meaning="The process was killed by a signal from outside the container.",
        consequence="Retried.",
        advice="Look at the node's events.",
    ),
    Reason.EVICTED: ReasonFacts(
        meaning=(
            "The pod was evicted: a drain, the node ran out of something, or another pod of its run was lost and "
            "all moved."
        ),
        consequence="Not counted; resumes from the last checkpoint.",
        advice="Nothing, or ask the platform team.",
        warning=True,
        counts_as_retry=False,
    ),
    Reason.PREEMPTED: ReasonFacts(
        meaning="A more important run or pod took the place.",
        consequence="Not counted; waits and resumes.",
        advice="Wait, or ask for a higher priority class.",
        warning=True,
        counts_as_retry=False,
    ),
    Reason.NODE_LOST: ReasonFacts(
        meaning="The node stopped answering or was removed.",
        consequence=(
            "Not counted; once the cluster gives the node up, the Job is made anew and resumes on another node."
        ),
        advice="Nothing.",
        counts_as_retry=False,
        moves_to_other_node=True,
    ),
    Reason.POD_DELETED: ReasonFacts(
        meaning="Somebody deleted the pod.",
        consequence="Another one is made and resumes.",
        advice="Nothing.",
    ),
    Reason.JOB_DELETED: ReasonFacts(
        meaning="Somebody deleted the Job of a running run.",
        consequence="It is created again and resumes; the third time the run fails.",
        advice="Find out who deletes Jobs. To stop a run set `spec.suspend: true` or delete the LoRAFineTune.",
        remedy="Find out who deletes the Job, " + AGAIN,
        counts_as_retry=False,
    ),
    Reason.IMAGE_PULL_FAILED: ReasonFacts(
        meaning="The trainer image cannot be pulled.",
        consequence="Waited for; after 10 minutes the run fails.",
        advice="Platform team: check `trainer.image` and its pull Secrets.",
        remedy="Ask the platform team to check the image and its pull Secret, " + AGAIN,
        warning=True,
    ),
    Reason.UNSCHEDULABLE: ReasonFacts(
        meaning="No node takes the pod; the message is the scheduler's.",
        consequence="Waited for, without end.",
        advice="Correct GPU count, `nodeSelector`, `tolerations`, `memory`; or wait for a free GPU.",
        warning=True,
    ),
    Reason.SECRET_MISSING: ReasonFacts(
        meaning="A Secret that the spec names, or one of its keys, does not exist.",
        consequence="After 15 seconds the run fails.",
        advice="Create it; see [Secrets](#secrets).",
        remedy="Create the Secret with the keys that docs/reasons.md lists, or correct its name, " + AGAIN,
        warning=True,
    ),
    Reason.VOLUME_MISSING: ReasonFacts(
        meaning=(
            "The PersistentVolumeClaim of the cache, or of a `pvc://` address, does not exist or is not bound; or the "
            "node cannot mount a volume, and the message has its words."
        ),
        consequence="Waited for; a claim that is still missing after 10 minutes fails the run.",
        advice=(
            "Create it, or correct `model.cache.claimName` or the address. For `ca-bundle` the platform team creates "
            "what `trainer.caBundle` names in the namespace."
        ),
        remedy="Create the PersistentVolumeClaim that model.cache.claimName or a pvc:// address names, " + AGAIN,
        warning=True,
    ),
    Reason.SERVICE_ACCOUNT_MISSING: ReasonFacts(
        meaning="The ServiceAccount in `storage.serviceAccountName` does not exist.",
        consequence="Waited for; after 10 minutes the run fails.",
        advice="Create it, or correct the name.",
        remedy="Create the ServiceAccount named in storage.serviceAccountName, " + AGAIN,
        warning=True,
    ),
    Reason.ADMISSION_DENIED: ReasonFacts(
        meaning=(
            "A policy, a webhook, a LimitRange, or a ResourceQuota that counts what the pod does not set refuses the "
            "Job or its pod, or the operator lacks a right to them; the message is theirs."
        ),
        consequence="A refused Job is tried again; refused pods fail the run after 10 minutes.",
        advice=(
            "Of a LimitRange or quota the message names the field to set, such as `compute.cpuLimit`; else ask the "
            "platform team which policy it is."
        ),
        remedy="Ask the platform team which policy refuses the pod, " + AGAIN,
        warning=True,
    ),
    Reason.NAME_TAKEN: ReasonFacts(
        meaning=(
            "An object that is not the run's has the name of its Job, or of the Service or NetworkPolicy of its pods; "
            "the message names it."
        ),
        consequence="Tried again every 15 seconds.",
        advice="Delete that object, or apply the run under another name.",
        warning=True,
    ),
    Reason.QUOTA_EXCEEDED: ReasonFacts(
        meaning="The namespace's ResourceQuota has no room.",
        consequence="Waited for, without end.",
        advice="Wait, free something, or ask for more. The message says where waiting is in vain.",
        warning=True,
    ),
}
