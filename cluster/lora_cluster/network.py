"""The network: one bridge in the host, one namespace and one cable per node, and routes to their pods.

Nothing else of the host's network is changed: no forwarding, no address translation, no firewall rule.
"""

from pathlib import Path

from lora_cluster.commands import run, succeeds
from lora_cluster.layout import MAX_NODES, Layout, NodeLayout


def create_bridge(cluster: Layout) -> None:
    """Make the bridge; the host's address on it is the nodes' gateway."""
    run(["ip", "link", "add", cluster.bridge, "type", "bridge"])
    run(["ip", "address", "add", f"{cluster.host_address}/24", "dev", cluster.bridge])
    run(["ip", "link", "set", cluster.bridge, "up"])


def create_node(node: NodeLayout) -> None:
    """Make the namespace of a node, join it to the bridge, and route every node's pods."""
    cluster = node.cluster
    cable = ["type", "veth", "peer", "name", "eth0", "netns", node.namespace_name]
    run(["ip", "netns", "add", node.namespace_name])
    run(["ip", "link", "add", node.host_interface, *cable])
    run(["ip", "link", "set", node.host_interface, "master", cluster.bridge, "up"])
    inside = ["ip", "-n", node.namespace_name]
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "add", f"{node.address}/24", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "up"])
    run([*inside, "route", "add", "default", "via", cluster.host_address])
    # Routes to nodes that may come later do no harm, and a node that joins changes nothing on the others.
    for number in range(1, MAX_NODES + 1):
        if number != node.number:
            other = cluster.node(number)
            run([*inside, "route", "add", other.pod_subnet, "via", other.address])
    # Without it answers of the host to a pod would leave by the host's default route.
    run(["ip", "route", "replace", node.pod_subnet, "via", node.address])
    forwarding = "echo 1 >/proc/sys/net/ipv4/ip_forward"
    run(["nsenter", f"--net={node.namespace}", "sh", "-c", forwarding])


def remove(cluster: Layout) -> None:
    """Remove namespaces, cables, bridge and with it the routes; what is not there is fine."""
    for number in range(1, MAX_NODES + 1):
        node = cluster.node(number)
        if Path(f"/sys/class/net/{node.host_interface}").exists():
            succeeds(["ip", "link", "delete", node.host_interface])
        if node.namespace.exists():
            # After a reboot only the empty file is left, which `ip` refuses to unmount but still removes.
            succeeds(["ip", "netns", "delete", node.namespace_name])
            node.namespace.unlink(missing_ok=True)
    if Path(f"/sys/class/net/{cluster.bridge}").exists():
        run(["ip", "link", "delete", cluster.bridge])
