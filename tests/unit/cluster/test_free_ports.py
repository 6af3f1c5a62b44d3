"""Ports that are chosen before a server listens on them."""

from __future__ import annotations

from pathlib import Path

from lora_cluster.api_server import free_ports


def test_a_free_port_is_none_that_a_connection_may_get_before_a_server_listens_on_it() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert max(ports) < lowest
