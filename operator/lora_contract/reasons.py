"""Reasons of conditions, Events and attempts. They are API: users match on them, docs/reasons.md explains each."""

from __future__ import annotations

from enum import StrEnum

from lora_contract.exit_codes import ExitCode


class Reason(StrEnum):
    """Why a run is where it is."""

    # progress
    SPEC_ACCEPTED = "SpecAccepted"
    SPEC_INVALID = "SpecInvalid"
    ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed"
    PENDING = "Pending"
    PREPARING = "Preparing"
    DATA_PREPARED = "DataPrepared"
    QUEUED = "Queued"
    IDENTICAL_RUN_TRAINING = "IdenticalRunTraining"
    IDENTICAL_RUN_ENDED = "IdenticalRunEnded"
    STARTING = "Starting"
    TRAINING = "Training"
    PUBLISHING = "Publishing"
    ADAPTER_PUBLISHED = "AdapterPublished"
    ADOPTED_EXISTING_ARTIFACT = "AdoptedExistingArtifact"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    NOT_SUSPENDED = "NotSuspended"
    RUN_SUPERSEDED = "RunSuperseded"
    SUCCEEDED = "Succeeded"
    INPUTS_UNCHANGED = "InputsUnchanged"
    DATASET_CHANGED = "DatasetChanged"
    # what a pod says by its exit code
    BAD_CONFIG = "BadConfig"
    BAD_DATA = "BadData"
    INPUT_MISSING = "InputMissing"
    ACCESS_DENIED = "AccessDenied"
    UNSUPPORTED = "Unsupported"
    UNAVAILABLE = "Unavailable"
    INTERNAL_ERROR = "InternalError"
    CHECKPOINTED = "Checkpointed"
    CUDA_OUT_OF_MEMORY = "CudaOutOfMemory"
    LOSS_NOT_FINITE = "LossNotFinite"
    STALLED = "TrainingStalled"
    GPU_FAILED = "GpuFailed"
    STORAGE_FULL = "StorageFull"
    INSUFFICIENT_GPU_MEMORY = "InsufficientGPUMemory"
    NOTHING_LEARNED = "NothingLearned"
    VERIFICATION_FAILED = "VerificationFailed"
    QUALITY_GATE_FAILED = "QualityGateFailed"
    # what the cluster says
    OOM_KILLED = "OOMKilled"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason, not a secret
    VOLUME_MISSING = "VolumeMissing"
    SERVICE_ACCOUNT_MISSING = "ServiceAccountMissing"
    ADMISSION_DENIED = "AdmissionDenied"
    NAME_TAKEN = "NameTaken"
    QUOTA_EXCEEDED = "QuotaExceeded"
    EPHEMERAL_STORAGE_EXCEEDED = "EphemeralStorageExceeded"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    POD_DELETED = "PodDeleted"
    KILLED = "Killed"
    JOB_DELETED = "JobDeleted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PREPARE_DEADLINE_EXCEEDED = "PrepareDeadlineExceeded"
    OTHER_CONTAINERS_RUNNING = "OtherContainersRunning"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    REPORT_MISSING = "ReportMissing"
    # of Events alone
    STATUS_REFUSED = "StatusRefused"


#: What each exit code of the trainer image is called on the object.
REASON_OF_EXIT_CODE = {
    ExitCode.BAD_CONFIG: Reason.BAD_CONFIG,
    ExitCode.BAD_DATA: Reason.BAD_DATA,
    ExitCode.INPUT_MISSING: Reason.INPUT_MISSING,
    ExitCode.UNAVAILABLE: Reason.UNAVAILABLE,
    ExitCode.INTERNAL: Reason.INTERNAL_ERROR,
    ExitCode.CHECKPOINTED: Reason.CHECKPOINTED,
    ExitCode.ACCESS_DENIED: Reason.ACCESS_DENIED,
    ExitCode.UNSUPPORTED: Reason.UNSUPPORTED,
    ExitCode.CUDA_OUT_OF_MEMORY: Reason.CUDA_OUT_OF_MEMORY,
    ExitCode.LOSS_NOT_FINITE: Reason.LOSS_NOT_FINITE,
    ExitCode.STALLED: Reason.STALLED,
    ExitCode.GPU_FAILED: Reason.GPU_FAILED,
    ExitCode.NOTHING_LEARNED: Reason.NOTHING_LEARNED,
    ExitCode.VERIFICATION_FAILED: Reason.VERIFICATION_FAILED,
    ExitCode.STORAGE_FULL: Reason.STORAGE_FULL,
}
