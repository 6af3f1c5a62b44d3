"""What runs in the cluster itself: DNS, and Kueue where it is asked for."""

import tempfile
from pathlib import Path
from string import Template

from lora_cluster import containerd
from lora_cluster.commands import run, wait_until
from lora_cluster.images import Archive, container_runtime_name, read_archive, tool_tag, write_program_image
from lora_cluster.kubectl import Kubectl
from lora_cluster.layout import CLUSTER_DOMAIN, DNS_ADDRESS, Layout, NodeLayout
from lora_cluster.progress import say
from lora_cluster.tools import TOOLS, binary

_MANIFESTS = Path(__file__).parent / "manifests"
_KUEUE_NAMESPACE = "kueue-system"
_READY_SECONDS = 180


def ensure_tool_image(node: NodeLayout, tool: str, *, entrypoint: str) -> None:
    """Make sure the node has the image of one of the cluster's own tools."""
    if containerd.has_image(node, tool_tag(tool)):
        return
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / f"{tool}.tar"
        write_program_image(target, tag=tool_tag(tool), program=binary(tool), entrypoint=entrypoint)
        archive: Archive = read_archive(target)
        containerd.import_archive(node, archive)


def ensure_dns(cluster: Layout) -> None:
    """Run CoreDNS at the address that every pod's resolver has, and wait until it answers."""
    kubectl = Kubectl(cluster.kubeconfig)
    if available(kubectl, "coredns", namespace="kube-system"):
        return
    template = Template((_MANIFESTS / "coredns.yaml").read_text())
    image = container_runtime_name(tool_tag("coredns"))
    kubectl.apply_text(template.substitute(image=image, address=DNS_ADDRESS, domain=CLUSTER_DOMAIN))
    wait_until("CoreDNS", lambda: available(kubectl, "coredns", namespace="kube-system"), timeout=_READY_SECONDS)


def ensure_kueue(cluster: Layout, nodes: int) -> None:
    """Install Kueue with its own chart and wait until its webhooks answer."""
    kubectl = Kubectl(cluster.kubeconfig)
    for number in range(1, nodes + 1):
        ensure_tool_image(cluster.node(number), "kueue", entrypoint="/manager")
    if available(kubectl, "kueue-controller-manager", namespace=_KUEUE_NAMESPACE):
        return
    say(f"installing Kueue {TOOLS['kueue'].version}")
    repository, _, tag = container_runtime_name(tool_tag("kueue")).rpartition(":")
    image = "controllerManager.manager.image"
    run(
        [
            binary("helm"),
            f"--kubeconfig={cluster.kubeconfig}",
            "upgrade",
            "--install",
            "kueue",
            TOOLS["kueue"].directory / "chart",
            f"--namespace={_KUEUE_NAMESPACE}",
            "--create-namespace",
            f"--set={image}.repository={repository},{image}.tag={tag},{image}.pullPolicy=Never",
        ]
    )
    wait_until(
        "Kueue",
        lambda: available(kubectl, "kueue-controller-manager", namespace=_KUEUE_NAMESPACE),
        timeout=_READY_SECONDS,
    )


def available(kubectl: Kubectl, deployment: str, *, namespace: str) -> bool:
    """Tell whether a Deployment exists and every replica of its present specification is available."""
    found = kubectl.get("deployments", f"--namespace={namespace}", f"--field-selector=metadata.name={deployment}")
    return any(
        each["status"].get("observedGeneration") == each["metadata"]["generation"]
        and each["status"].get("availableReplicas", 0) == each["spec"]["replicas"]
        for each in found["items"]
    )
