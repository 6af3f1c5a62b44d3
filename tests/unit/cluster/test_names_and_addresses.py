"""Names and addresses of a cluster."""

import ipaddress
import itertools

import pytest

from lora_cluster.errors import ClusterError
from lora_cluster.layout import MAX_NODES, MAX_SLOTS, SERVICE_RANGE, Layout, run_directory

_LONGEST_INTERFACE_NAME = 15


def test_the_networks_of_no_two_nodes_overlap() -> None:
    networks = [ipaddress.ip_network(SERVICE_RANGE)]
    for slot in range(MAX_SLOTS):
        cluster = Layout("any", slot)
        networks.append(ipaddress.ip_network(f"{cluster.host_address}/24", strict=False))
        networks += [ipaddress.ip_network(cluster.node(number).pod_subnet) for number in range(1, MAX_NODES + 1)]

    networks.sort()

    assert not [pair for pair in itertools.pairwise(networks) if pair[0].overlaps(pair[1])]


def test_addresses_of_pods_are_in_the_range_that_kube_proxy_knows() -> None:
    cluster = Layout("any", MAX_SLOTS - 1)

    pods = ipaddress.IPv4Network(cluster.node(MAX_NODES).pod_subnet)

    assert pods.subnet_of(ipaddress.IPv4Network(cluster.pod_range))


def test_names_of_interfaces_are_short_enough_for_linux() -> None:
    cluster = Layout("a-name-that-is-rather-long", MAX_SLOTS - 1)

    names = [cluster.bridge, cluster.node(MAX_NODES).host_interface]

    assert all(len(name) <= _LONGEST_INTERFACE_NAME for name in names)


@pytest.mark.parametrize("name", ["", "Upper", "../etc", "a b", "-a", "a" * 32])
def test_a_name_that_is_no_safe_directory_is_refused_with_the_option(name: str) -> None:
    with pytest.raises(ClusterError, match="--name"):
        run_directory(name)
