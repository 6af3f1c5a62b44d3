"""The rendered chart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from lora_cluster import tools

CHART = Path(__file__).resolve().parents[2] / "charts" / "lora-operator"
PRODUCTION = CHART / "values-production.yaml"
RELEASE = "lora-operator"
NAMESPACE = "lora-system"

Document = dict[str, Any]

#: Values that reach every branch of the templates, by name.
PROFILES: dict[str, list[str]] = {
    "default": [],
    "production": [f"--values={PRODUCTION}"],
    "without network policies": ["--set=networkPolicy.enabled=false", "--set=networkPolicy.runs.enabled=false"],
    "namespaced": ["--set=watchNamespaces={team-a,team-b}"],
    "without progress": ["--set=progress.enabled=false"],
    "cert-manager": ["--set=progress.tls.source=certManager"],
    "own certificate": ["--set=progress.tls.source=secret", "--set=progress.tls.secretName=mine"],
    "without kueue and definition": ["--set=kueue.enabled=false", "--set=crds.enabled=false"],
    "openshift": ["--set=runAsUser=null"],
    "monitored": [
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.podMonitor.enabled=true",
        "--set=metrics.prometheusRule.enabled=true",
        "--set=metrics.dashboard.enabled=true",
        "--set=metrics.dashboard.annotations.grafana_folder=ML",
        "--set=networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
        "--set=metrics.prometheusRule.runbookUrl=https://example.org/alerts",
    ],
    "everything set": [
        "--set=imagePullSecrets={pull}",
        "--set=commonLabels.team=platform",
        "--set=podLabels.a=b",
        "--set=podAnnotations.a=b",
        "--set=nodeSelector.pool=system",
        "--set=tolerations[0].key=system",
        "--set-json=affinity={\"nodeAffinity\":{}}",
        "--set=priorityClassName=system-cluster-critical",
        "--set=extraEnv[0].name=HTTPS_PROXY",
        "--set=extraEnv[0].value=http://proxy:3128",
        "--set=serviceAccount.annotations.a=b",
        f"--set=image.digest=sha256:{'0' * 64}",
        "--set=trainer.prepareImage.repository=lora-prepare",
        "--set=trainer.gpuMemory=80Gi",
        "--set=trainer.prepare.cpu=1",
        "--set-json=trainer.prepare.cpuLimit=2.5",
        "--set=trainer.cpuLimit=16",
        "--set=trainer.scratch=200Gi",
        "--set=trainer.ephemeralStorage=50Gi",
        "--set=trainer.gpuPricePerHour=2.50",
        "--set=trainer.gpuPriceCurrency=EUR",
        "--set=trainer.imagePullSecrets={pull,other}",
        "--set-string=trainer.podAnnotations.sidecar\\.istio\\.io/inject=false",
        "--set-string=trainer.podLabels.sidecar\\.istio\\.io/inject=false",
        "--set=trainer.extraEnv[0].name=HTTPS_PROXY",
        "--set=trainer.extraEnv[0].value=http://proxy:3128",
        "--set=trainer.caBundle.configMap=corporate-ca",
        "--set=trainer.podSpec.runtimeClassName=nvidia",
        "--set=trainer.podSpec.tolerations[0].key=pool",
        "--set=trainer.prepare.podSpec.priorityClassName=batch",
        "--set=storage.defaultEndpoint=http://seaweedfs.storage.svc:8333",
        "--set=storage.allowNodeIdentity=true",
        "--set=networkPolicy.runs.metadataAddresses={100.100.100.200/32}",
        '--set-json=networkPolicy.runs.egress=[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8"}}],"ports":[{"port":443}]}]',
        "--set=storage.allowedEndpoints={https://s3.example.org,http://minio:9000}",
    ],
}  # fmt: skip


def helm(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run helm, which is built into the cache where it is missing."""
    tools.build(("helm",))
    return subprocess.run([tools.binary("helm"), *words], check=check, capture_output=True, text=True)


def template(*arguments: str) -> str:
    """What `helm template` prints; fails with helm's message."""
    done = helm("template", RELEASE, CHART, f"--namespace={NAMESPACE}", *arguments, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def refusal(*arguments: str) -> str:
    """The message with which helm refuses values; fails where it accepts them."""
    done = helm("template", RELEASE, CHART, *arguments, check=False)
    assert done.returncode, f"helm accepted {arguments}"
    return done.stderr


def documents(text: str) -> list[Document]:
    """The objects in what helm prints."""
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(rendered: list[Document], kind: str) -> list[Document]:
    """The objects of one kind."""
    return [document for document in rendered if document["kind"] == kind]


def only(rendered: list[Document], kind: str) -> Document:
    """The one object of a kind."""
    (document,) = of_kind(rendered, kind)
    return document


def operator_rules() -> list[Document]:
    """All that the chart lets the operator do, with leases of any name: tests take one of their own."""
    roles = [role for role in documents(template(*PROFILES["production"])) if role["kind"] in ("ClusterRole", "Role")]
    mine = [role for role in roles if role["metadata"]["name"] in (RELEASE, f"{RELEASE}-leader")]
    return [
        {key: value for key, value in rule.items() if key != "resourceNames"} for role in mine for rule in role["rules"]
    ]
