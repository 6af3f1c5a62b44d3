"""What a person sees of a finished run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lora_cluster.errors import ClusterError
from lora_contract import layout, uri
from lora_contract.outside import shorten
from lora_contract.status import ArtifactStatus, MetricsStatus
from lora_demo import seaweedfs
from lora_demo.kubernetes import Kubernetes
from lora_demo.run import Run
from lora_demo.samples import samples

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SHOWN = 3
_LONGEST_LINE = 140


def results(kubernetes: Kubernetes, run: Run, client: S3Client) -> None:
    """Print status table, files of the adapter, losses, and answers before and after."""
    status = run.status()
    if status.artifact is None or status.metrics is None:
        raise ClusterError(f"{run.name} is complete but names no adapter; that is a defect")
    print(f"\n$ kubectl get lft --namespace {run.namespace} --output wide")
    print(kubernetes.run("get", "lft", f"--namespace={run.namespace}", "--output=wide"))
    _files(client, status.artifact)
    _losses(status.metrics)
    report = download_report(client, status.artifact)
    _answers(report.read_text(encoding="utf-8"))
    print(f"Report: {report}\n", flush=True)


def farewell(kubernetes: Kubernetes, run: Run, name: str) -> None:
    """Print how to look around and how to remove everything."""
    if kubernetes.kubeconfig is not None:
        print(f"\nLook around:   export KUBECONFIG={kubernetes.kubeconfig}")
        print(f"               kubectl describe lft {run.name} --namespace {run.namespace}")
    print(f"Remove it all: make demo-down{'' if name == 'demo' else f' CLUSTER={name}'}", flush=True)


def download_report(client: S3Client, artifact: ArtifactStatus) -> Path:
    """Copy the HTML report to a file of this machine."""
    address = uri.parse(artifact.uri).join(layout.REPORT)
    target = Path(tempfile.gettempdir()) / "lora-operator-report.html"
    client.download_file(address.bucket, address.key, str(target))
    return target


def _files(client: S3Client, artifact: ArtifactStatus) -> None:
    address = uri.parse(artifact.uri)
    print(f"Adapter: {artifact.uri}")
    for key, size in seaweedfs.sizes(client, address.bucket, f"{address.key.rstrip('/')}/").items():
        print(f"  {size:>10,}  {key.rpartition('/')[2]}")
    print()


def _losses(metrics: MetricsStatus) -> None:
    print("On rows that were held out       base     adapter")
    print(f"  loss per token         {_figure(metrics.base_test_loss)}  {_figure(metrics.test_loss)}")
    print(f"  on general text        {_figure(metrics.base_general_loss)}  {_figure(metrics.general_loss)}")
    print(f"  right fields           {_figure(metrics.base_json_fields)}  {_figure(metrics.json_fields)}")
    print()


def _answers(report: str) -> None:
    for sample in samples(report)[:_SHOWN]:
        for label in ("Prompt", "Base", "Adapter", "Reference"):
            if label in sample:
                print(f"  {label + ':':<11}{shorten(' '.join(sample[label].split()), _LONGEST_LINE)}")
        print()


def _figure(text: str | None) -> str:
    return f"{'-' if text is None else text:>11}"
