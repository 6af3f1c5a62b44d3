"""`python -m lora_demo`: the whole way on one machine, and its removal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lora_cluster.errors import exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed with a message."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lora_demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="from nothing to a published adapter")
    down = commands.add_parser("down", help="remove everything that `up` started")
    queue = commands.add_parser("queue", help="two teams, one GPU: an urgent run preempts another, both finish")
    queue.add_argument("--cluster", default="demo-queue", help="ours of that name")
    for command in (up, down):
        command.add_argument("--cluster", default="demo", help="ours of that name, or `current`")
    up.add_argument("--registry", default="", help="with `--cluster current`: where to push the images")
    commands.add_parser("images", help="build what changed and print the images' names")
    commands.add_parser("model", help="convert the demo's model and print its folder")
    return parser


def _run(options: argparse.Namespace) -> None:
    from lora_demo import images, model, seaweedfs, up  # noqa: PLC0415 - boto3, not needed for --help

    match options.command:
        case "up":
            up.up(options.cluster, options.registry)
        case "down":
            up.down(options.cluster)
        case "queue":
            from lora_demo import queue_demo  # noqa: PLC0415 - boto3, not needed for --help

            queue_demo.show(options.cluster)
        case "images":
            built = images.ensure(seaweedfs.program())
            for image in (built.operator, built.prepare, built.trainer, built.seaweedfs):
                print(image.name)
        case "model":
            print(model.ensure())


if __name__ == "__main__":
    sys.exit(main())
