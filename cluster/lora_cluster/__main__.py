"""`python -m lora_cluster`: a real Kubernetes on one machine, one command for each step."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lora_cluster import cluster, tools
from lora_cluster.errors import exit_code
from lora_cluster.layout import MAX_NODES

_API_SERVER_NAME = "api"


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m lora_cluster", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    build = commands.add_parser("build", help="build the programs that are not in the cache yet")
    build.add_argument("tools", nargs="*", choices=[[], *tools.TOOLS], metavar="TOOL", help="only these")
    build.add_argument("--kueue", action="store_true", help="Kueue too")
    build.add_argument("--kwok", action="store_true", help="KWOK too: simulated nodes for load tests")

    up = commands.add_parser("up", help="start a cluster, or extend the running one")
    _add_name(up)
    up.add_argument("--nodes", type=int, default=1, help=f"how many nodes, 1 to {MAX_NODES} (default 1)")
    up.add_argument("--gpus", type=int, default=0, help="GPUs of each node, in name only (default 0)")
    up.add_argument("--kueue", action="store_true", help="install Kueue")

    load = commands.add_parser("load", help="import image archives into every node")
    load.add_argument("archives", nargs="+", type=Path, metavar="IMAGE_ARCHIVE", help="docker-archive or oci-archive")
    _add_name(load)

    _add_name(commands.add_parser("status", help="show daemons, nodes and addresses"))
    _add_name(commands.add_parser("down", help="end a cluster and remove all but its logs and the cached images"))
    api = commands.add_parser("api-server", help="start etcd, API server and controller manager on loopback ports")
    _add_name(api, default=_API_SERVER_NAME)
    _add_name(commands.add_parser("kubectl", help="run kubectl as the administrator: kubectl [--name NAME] ..."))
    return top


def split_kubectl(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return our own words and those meant for kubectl: all after `kubectl`, or after `kubectl --name NAME`."""
    if words[:1] != ["kubectl"]:
        return words, []
    own = 3 if words[1:2] == ["--name"] else 1
    return words[:own], words[own:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed with a message."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own, others = split_kubectl(words)
    options = parser().parse_args(own)
    return exit_code(lambda: _run(options, others))


def _run(options: argparse.Namespace, others: Sequence[str]) -> None:
    match options.command:
        case "build":
            extra = [name for name in ("kueue", "kwok") if getattr(options, name)]
            tools.build([*(options.tools or tools.DEFAULT_TOOLS), *extra])
        case "up":
            started = cluster.up(options.name, nodes=options.nodes, gpus=options.gpus, kueue=options.kueue)
            print(started.kubeconfig)
        case "load":
            cluster.load(options.name, options.archives)
        case "status":
            print(cluster.status(options.name))
        case "down":
            cluster.down(options.name)
        case "api-server":
            print(cluster.start_api_server(options.name))
        case "kubectl":
            kubeconfig = cluster.kubeconfig_of(options.name)
            program = tools.binary("kubectl")
            os.execv(program, [program.name, f"--kubeconfig={kubeconfig}", *others])


def _add_name(command: argparse.ArgumentParser, default: str = cluster.DEFAULT_NAME) -> None:
    command.add_argument("--name", default=default, help=f"the cluster (default {default})")


if __name__ == "__main__":
    sys.exit(main())
