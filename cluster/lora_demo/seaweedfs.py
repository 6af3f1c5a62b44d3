"""An S3 server in the cluster: SeaweedFS as one pod, with one identity for the demo and one for the tenant."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lora_cluster.commands import wait_until
from lora_cluster.errors import ClusterError
from lora_demo.kubernetes import Kubernetes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MODELS, DATASETS, ADAPTERS = "models", "datasets", "adapters"
SECRET = "s3-credentials"  # noqa: S105 - the name of a Secret
#: Where the program lies in the image, ours and the public one alike.
PROGRAM = "/usr/bin/weed"
_NAME, _PORT = "seaweedfs", 8333
_READY_SECONDS = 240


@dataclass(frozen=True)
class Identity:
    """A key pair and what it may do: `Admin`, or actions as `Read:bucket`."""

    name: str
    access_key: str
    secret_key: str
    actions: tuple[str, ...]

    @property
    def configured(self) -> dict[str, Any]:
        """Its entry in the server's configuration."""
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        return {"name": self.name, "credentials": [keys], "actions": list(self.actions)}


#: Keys of a server that holds nothing but the demo's data and cannot be reached from outside the machine.
ADMIN = Identity("admin", "demo-admin", "demo-admin-secret", ("Admin",))
TENANT = Identity(
    "tenant",
    "demo-tenant",
    "demo-tenant-secret",
    (
        *(f"{action}:{bucket}" for bucket in (MODELS, DATASETS) for action in ("Read", "List")),
        *(f"{action}:{ADAPTERS}" for action in ("Read", "List", "Write", "Tagging")),
    ),
)


def program() -> Path:
    """Return the static SeaweedFS program of the virtual environment."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent))
    if found is None:
        raise ClusterError("SeaweedFS is not installed: run `make venv`")
    return Path(found)


@dataclass(frozen=True)
class Server:
    """The server's namespace in a cluster; the Service is called `seaweedfs`."""

    kubernetes: Kubernetes
    namespace: str

    @property
    def endpoint(self) -> str:
        """Address for pods of the cluster."""
        return f"http://{_NAME}.{self.namespace}.svc.cluster.local:{_PORT}"

    def start(self, image: str) -> None:
        """Start the server and wait until it answers. A running one is left as it is."""
        self.kubernetes.apply(_manifests(self.namespace, image))
        self.kubernetes.wait_rollout(_NAME, namespace=self.namespace, seconds=_READY_SECONDS)

    def give_access(self, namespace: str, *, secret: str = SECRET, identity: Identity = TENANT) -> None:
        """Write the tenant's key pair as a Secret in its namespace."""
        self.kubernetes.apply([_secret(namespace, secret, identity)])

    @contextmanager
    def connected(self, identity: Identity = ADMIN) -> Iterator[S3Client]:
        """Connect a client on this machine, for the time of the block."""
        with self.kubernetes.forwarded(_NAME, namespace=self.namespace, port=_PORT) as endpoint:
            yield client(endpoint, identity)

    def pod_endpoint(self) -> str:
        """Return the address of the pod, for machines that have a route to pods."""
        pods = self.kubernetes.get("pods", f"--namespace={self.namespace}", f"--selector=app={_NAME}")["items"]
        addresses = [pod["status"]["podIP"] for pod in pods if pod["status"].get("podIP")]
        if not addresses:
            raise ClusterError(f"the S3 server has no pod in namespace {self.namespace}")
        return f"http://{addresses[0]}:{_PORT}"


def client(endpoint: str, identity: Identity = ADMIN) -> S3Client:
    """Return a client of the server at `endpoint`."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=identity.access_key,
        aws_secret_access_key=identity.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 5}),
    )


def make_buckets(s3: S3Client) -> None:
    """Make the three buckets once the server takes them; existing ones are kept."""
    wait_until("buckets in the S3 server", lambda: _make_buckets(s3), timeout=_READY_SECONDS)


def upload_folder(s3: S3Client, folder: Path, bucket: str, prefix: str) -> None:
    """Upload the files of a folder; files that are there with the same size are skipped."""
    present = sizes(s3, bucket, prefix)
    for path in sorted(folder.iterdir()):
        key = f"{prefix}{path.name}"
        if present.get(key) != path.stat().st_size:
            s3.upload_file(str(path), bucket, key)


def sizes(s3: S3Client, bucket: str, prefix: str) -> dict[str, int]:
    """Return key and size in bytes of every object below a prefix."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


def _make_buckets(s3: S3Client) -> bool:
    try:
        existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in {MODELS, DATASETS, ADAPTERS} - existing:
            s3.create_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError):
        return False
    return True


def _secret(namespace: str, name: str, identity: Identity) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret_key,
            "AWS_REGION": "us-east-1",
        },
    }


def _manifests(namespace: str, image: str) -> list[dict[str, Any]]:
    labels = {"app": _NAME}
    metadata = {"name": _NAME, "namespace": namespace, "labels": labels}
    configuration = json.dumps({"identities": [identity.configured for identity in (ADMIN, TENANT)]})
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"s3.json": configuration}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "s3", "port": _PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod(image)},
            },
        },
    ]


def _pod(image: str) -> dict[str, Any]:
    server = ["-dir=/data", "-ip.bind=0.0.0.0", "-master.volumeSizeLimitMB=256", "-volume.max=50"]
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": _NAME,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": [PROGRAM],
                "args": ["server", *server, "-s3", f"-s3.port={_PORT}", "-s3.config=/etc/seaweedfs/s3.json"],
                "ports": [{"containerPort": _PORT}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": _PORT}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "temporary", "mountPath": "/tmp"},
                    {"name": "configuration", "mountPath": "/etc/seaweedfs", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "temporary", "emptyDir": {}},
            {"name": "configuration", "secret": {"secretName": _NAME}},
        ],
    }
