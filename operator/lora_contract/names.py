"""Every name that more than one program uses: the API group, labels, environment variables, paths in a pod."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

GROUP = "lora-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "LoRAFineTune"
PLURAL = "lorafinetunes"
SINGULAR = "lorafinetune"
SHORT_NAME = "lft"
SWEEP_KIND = "LoRASweep"
SWEEP_PLURAL = "lorasweeps"
SWEEP_SINGULAR = "lorasweep"
SWEEP_SHORT_NAME = "lsw"

#: Resource name that stands for "the GPUs of the platform" where a spec does not name another.
GPU_RESOURCE = "nvidia.com/gpu"

#: Longest name of a Job with the index of its last pod: the API server makes the pods' hostnames of them.
MAX_LABEL_LENGTH = 63
#: Longest metadata.name: room for "-prepare-", 8 characters of hash and the index "-0" of a pod's hostname.
MAX_NAME_LENGTH = 44
#: The same for a sweep: room for "-" and the two digits of a trial.
MAX_SWEEP_NAME_LENGTH = MAX_NAME_LENGTH - 3

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "lora-operator"
LABEL_FINETUNE = f"{GROUP}/finetune"
LABEL_FINETUNE_UID = f"{GROUP}/finetune-uid"
LABEL_STAGE = f"{GROUP}/stage"
LABEL_SWEEP = f"{GROUP}/sweep"
#: The NetworkPolicy for all run pods of a namespace.
RUNS_POLICY = "lora-operator-runs"
ANNOTATION_SPEC_HASH = f"{GROUP}/spec-hash"
#: Hash of the parts of the spec that a Job was made from beside the recipe; where it differs, the spec was edited.
ANNOTATION_REQUEST_HASH = f"{GROUP}/request-hash"
ANNOTATION_RUN_ID = f"{GROUP}/run-id"
#: Carries the certificate authority of the progress endpoint into the pod through the downward API.
ANNOTATION_PROGRESS_CA = f"{GROUP}/progress-ca"

STAGE_PREPARE: Final = "prepare"
STAGE_TRAIN: Final = "train"
#: Compares the data of a finished run with what it was trained on.
STAGE_CHECK: Final = "check"
#: What a pod is made for.
Stage = Literal["prepare", "train", "check"]
#: What a run goes through until it is finished.
RunStage = Literal["prepare", "train"]
STAGES: Final = (STAGE_PREPARE, STAGE_TRAIN, STAGE_CHECK)
#: Name of the one container of every pod of ours; its termination message is the pod's report.
CONTAINER = "trainer"

ENV_ORDER = "LORA_ORDER"
ENV_TERMINATION_LOG = "LORA_TERMINATION_LOG"
#: Names read by the stock KubeflowCallback of transformers, so any script of a user reports with no code.
ENV_PROGRESS_URL = "KUBEFLOW_TRAINER_SERVER_URL"
ENV_PROGRESS_TOKEN = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105 - the name of a variable that holds a path
ENV_PROGRESS_CA = "KUBEFLOW_TRAINER_SERVER_CA_CERT"

#: Audience of the projected service account token that a pod shows to the progress endpoint.
PROGRESS_AUDIENCE = f"progress.{GROUP}"

#: Volume of run pods with the platform's certificate authorities.
CA_BUNDLE_VOLUME = "ca-bundle"
SCRATCH_PATH = "/scratch"
CACHE_PATH = "/cache"
#: Where prepare sees the claims that data are read from, each below its name.
CLAIMS_PATH = "/claims"
PROGRESS_PATH = "/var/run/lora-operator"
PROGRESS_TOKEN_FILE = f"{PROGRESS_PATH}/token"
PROGRESS_CA_FILE = f"{PROGRESS_PATH}/ca.crt"

#: Keys that a storage Secret may hold; each becomes the environment variable of the same name.
STORAGE_SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
)
STORAGE_SECRET_REQUIRED_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Key of the Secret named by spec.model.tokenSecretName, and the variable it becomes.
HUB_TOKEN_KEY = "HF_TOKEN"  # noqa: S105 - the name of a key

ENV_S3_ENDPOINT = "AWS_ENDPOINT_URL_S3"
#: "1": a train pod that was given GPUs but sees none trains on the CPU (test clusters); else it ends as unsupported.
ENV_ALLOW_CPU = "LORA_ALLOW_CPU"
#: Set to 1, training on a CPU computes in float32 also where bfloat16 would be faster: equal results on every CPU.
ENV_CPU_FLOAT32 = "LORA_CPU_FLOAT32"

#: host:port at which the pods of a run on several nodes meet; the first of them listens there.
ENV_GROUP_ADDRESS = "LORA_GROUP_ADDRESS"
GROUP_PORT = 29500
#: Which pod of an Indexed Job this is, from 0; set by Kubernetes.
ENV_POD_INDEX = "JOB_COMPLETION_INDEX"


def job_name(name: str, stage: str, *, uid: str, spec_hash: str, run_token: str) -> str:
    """Build the name of a stage's Job: the same object, spec and run token give the same Job."""
    digest = hashlib.sha256("\n".join((uid, spec_hash, run_token)).encode()).hexdigest()
    return f"{name}-{stage}-{digest[:8]}"


def is_job_name(job: str, name: str, stage: str) -> bool:
    """Return whether `job_name` may have made this name for a stage, from whatever spec and run token."""
    base, _, digest = job.rpartition("-")
    return base == f"{name}-{stage}" and re.fullmatch("[0-9a-f]{8}", digest) is not None


def service_name(job: str) -> str:
    """Name the Service through which a Job's pods find each other: a letter first, as Services want it."""
    return f"lora-{job.rpartition('-')[2]}"


def group_address(job: str) -> str:
    """Return where the pods of a Job on several nodes meet: at its first pod."""
    return f"{job}-0.{service_name(job)}:{GROUP_PORT}"


def trial_name(sweep: str, number: int) -> str:
    """Name a trial of a sweep; trials are counted from 0."""
    return f"{sweep}-{number:02d}"


def progress_path(namespace: str, name: str) -> str:
    """Return the path of the progress endpoint for one run."""
    return f"/v1/namespaces/{namespace}/{PLURAL}/{name}/progress"
