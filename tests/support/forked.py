"""`support.faulty_trainer` in processes that start at once: forked from a server that has imported all they need
(`support.preloaded`).

Signals, exit codes and files are those of real processes. What replaces itself by the same command
(`lora_trainer.processes.restart`) has to be started as a command.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["support.preloaded"])


def start(arguments: list[str], environment: dict[str, str], *, stdout: Path, stderr: Path) -> ForkServerProcess:
    """Start `lora-trainer` with these arguments, and these variables beside those of this process."""
    variables = {**os.environ, **environment}
    process = _context.Process(target=_child, args=(arguments, variables, str(stdout), str(stderr)))
    process.start()
    return process


def _child(arguments: list[str], variables: dict[str, str], stdout: str, stderr: str) -> None:
    for number, name in ((1, stdout), (2, stderr)):
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["lora-trainer", *arguments]
    from support import faulty_trainer  # noqa: PLC0415 - in the child only

    faulty_trainer.main()
