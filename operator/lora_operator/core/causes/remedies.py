"""What a user can do about each failure that the cluster, not the pod, tells of. docs/reasons.md says more."""

from __future__ import annotations

from lora_contract.reasons import Reason

#: The same spec has the same identity: the new object resumes from the checkpoints of the old.
_AGAIN = "then delete the LoRAFineTune and apply it again; it resumes."

REMEDIES = {
    Reason.OOM_KILLED: f"Raise compute.memory, {_AGAIN}",
    Reason.EPHEMERAL_STORAGE_EXCEEDED: (
        "Ask the platform team to raise trainer.scratch (of prepare pods: trainer.prepare.scratch) of the chart, or use"
        f" a smaller dataset or model, {_AGAIN}"
    ),
    Reason.IMAGE_PULL_FAILED: f"Ask the platform team to check the image and its pull Secret, {_AGAIN}",
    Reason.SECRET_MISSING: f"Create the Secret with the keys that docs/reasons.md lists, or correct its name, {_AGAIN}",
    Reason.VOLUME_MISSING: f"Create the PersistentVolumeClaim named in model.cache.claimName, {_AGAIN}",
    Reason.SERVICE_ACCOUNT_MISSING: f"Create the ServiceAccount named in storage.serviceAccountName, {_AGAIN}",
    Reason.ADMISSION_DENIED: f"Ask the platform team which policy refuses the pod, {_AGAIN}",
    Reason.UNAVAILABLE: f"Check that S3 and the Hub can be reached from the namespace, {_AGAIN}",
    Reason.STORAGE_FULL: f"Free space in the output's bucket or raise its quota, {_AGAIN}",
    Reason.INTERNAL_ERROR: f"Read the pod's log; if it looks like a defect, report it, {_AGAIN}",
    Reason.VERIFICATION_FAILED: "Read the pod's log and report a defect; nothing was published.",
    Reason.RETRIES_EXHAUSTED: f"Remove the cause of the last failure, {_AGAIN}",
    Reason.DEADLINE_EXCEEDED: f"Raise scheduling.maxExecutionSeconds or train fewer steps, {_AGAIN}",
    Reason.PREPARE_DEADLINE_EXCEEDED: (
        "Look in the prepare pod's log for what takes so long; use less data, or ask the platform team to raise"
        f" trainer.prepare.deadlineSeconds, {_AGAIN}"
    ),
    Reason.REPORT_MISSING: f"Find out what removes the pods, {_AGAIN}",
    Reason.JOB_DELETED: f"Find out who deletes the Job, {_AGAIN}",
    Reason.QUALITY_GATE_FAILED: "Look at the report; train longer, improve the data or relax evaluation.gate.",
    Reason.GPU_FAILED: f"Ask the platform team to check the GPUs of the nodes in status.attempts, {_AGAIN}",
    Reason.STALLED: f"Read the pod's log for the step it stood still at, {_AGAIN}",
}
