"""One node: containerd, kubelet and kube-proxy in a network namespace of their own."""

import json
from pathlib import Path
from typing import Any

import yaml

from lora_cluster import cgroups, network
from lora_cluster.certificates import Authority
from lora_cluster.kubectl import Kubectl
from lora_cluster.layout import CLUSTER_DOMAIN, DNS_ADDRESS, NodeLayout
from lora_cluster.processes import Daemon
from lora_cluster.tools import binary


def daemon(node: NodeLayout, program: str) -> Daemon:
    """Return one of the node's daemons."""
    return Daemon(node.cluster.directory, f"{node.name}-{program}")


def create(node: NodeLayout, authority: Authority) -> None:
    """Make the node's network, cgroup and configuration."""
    network.create_node(node)
    cgroups.create(node)
    for directory in ("cni", "kubelet", "pod-logs"):
        (node.directory / directory).mkdir(parents=True, exist_ok=True)
    authority.write_kubeconfig(
        node.cluster.directory / "conf" / f"{node.name}.kubeconfig",
        server=node.cluster.api_url,
        user=f"system:node:{node.name}",
        organization="system:nodes",
    )
    (node.directory / "cni" / "10-lora.conflist").write_text(json.dumps(cni_configuration(node)))
    (node.directory / "resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\n")
    (node.directory / "kubelet.yaml").write_text(yaml.safe_dump(kubelet_configuration(node)))
    (node.directory / "kube-proxy.yaml").write_text(yaml.safe_dump(proxy_configuration(node)))


def join(node: NodeLayout) -> None:
    """Start kubelet and kube-proxy; the API server must serve already."""
    conf = node.cluster.directory / "conf"
    daemon(node, "kubelet").start(
        [
            binary("kubelet"),
            f"--config={node.directory / 'kubelet.yaml'}",
            f"--kubeconfig={conf / f'{node.name}.kubeconfig'}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--root-dir={node.directory / 'kubelet'}",
            f"--cert-dir={node.directory / 'kubelet' / 'pki'}",
        ],
        namespace=node.namespace,
    )
    proxy: list[str | Path] = [binary("kube-proxy"), f"--config={node.directory / 'kube-proxy.yaml'}"]
    daemon(node, "kube-proxy").start(proxy, namespace=node.namespace)


def ready(node: NodeLayout) -> bool:
    """Tell whether the Node object says that the node is ready."""
    selector = f"--field-selector=metadata.name={node.name}"
    found = Kubectl(node.cluster.kubeconfig).get("nodes", selector)["items"]
    conditions = [condition for each in found for condition in each["status"].get("conditions", [])]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def set_gpus(node: NodeLayout, count: int, resource: str = "nvidia.com/gpu") -> None:
    """Give the node `count` GPUs in name only; the kubelet keeps them and starts pods that ask for them.

    Does nothing when the node has them already, so that it can be called again after a kubelet's restart.
    """
    kubectl = Kubectl(node.cluster.kubeconfig)
    status = kubectl.get("node", node.name)["status"]
    amounts = {resource: str(count)}
    if all(status[part].get(resource, "0") == str(count) for part in ("capacity", "allocatable")):
        return
    patch = json.dumps({"status": {"capacity": amounts, "allocatable": amounts}})
    kubectl.run("patch", "node", node.name, "--subresource=status", "--type=merge", f"--patch={patch}")


def cni_configuration(node: NodeLayout) -> dict[str, Any]:
    """Return the network configuration of the node's pods (CNI 1.0.0): a bridge, no address translation."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.pod_subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(node.directory / "ipam"),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "lora", "plugins": [bridge, ports]}


def kubelet_configuration(node: NodeLayout) -> dict[str, Any]:
    """Return the kubelet's configuration (kubelet.config.k8s.io/v1beta1)."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(node.cluster.directory / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        # Root in a container or a small virtual machine may not raise every limit; this tolerates it.
        "featureGates": {"KubeletInUserNamespace": True},
        "failSwapOn": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(node.directory / "resolv.conf"),
        "podLogsDir": str(node.directory / "pod-logs"),
        "volumePluginDir": str(node.directory / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
        # Images are loaded by hand and cannot be pulled again: never collect them.
        "imageGCHighThresholdPercent": 100,
    }


def proxy_configuration(node: NodeLayout) -> dict[str, Any]:
    """Return kube-proxy's configuration (kubeproxy.config.k8s.io/v1alpha1)."""
    conf = node.cluster.directory / "conf"
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(conf / "kube-proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": node.cluster.pod_range,
        "hostnameOverride": node.name,
        # The limit belongs to the host, not to a namespace.
        "conntrack": {"maxPerCore": 0},
        "metricsBindAddress": "127.0.0.1:10249",
    }
