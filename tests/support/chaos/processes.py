"""Operator processes that start in a moment: forked from a process that has imported the operator already."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import signal
import sys
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from support.operator import NOT_IN_A_POD, TRAINER_IMAGE
from support.python_path import python_path


def _context() -> ForkServerContext:
    # The fork server of Python 3.11 does not take over sys.path, and would import what is installed.
    os.environ["PYTHONPATH"] = python_path()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lora_operator.__main__", "support.chaos.processes"])
    return context


_CONTEXT = _context()


@dataclass
class ForkedOperator:
    """One operator process. `settings` become LORA_OPERATOR_ variables."""

    kubeconfig: Path
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    #: Name of the pod, by which it is known among its replicas; empty: made up at each start.
    pod: str = ""
    process: ForkServerProcess | None = None

    def start(self) -> ForkedOperator:
        """Start the process and do not wait for it."""
        settings = {"TRAINER_IMAGE": TRAINER_IMAGE, "LOG_FORMAT": "text", "HEALTH_PORT": "0"}
        variables = {f"LORA_OPERATOR_{key}": value for key, value in (settings | self.settings).items()}
        variables |= {"KUBECONFIG": str(self.kubeconfig), "POD_NAME": self.pod}
        self.process = _CONTEXT.Process(target=_operate, args=(variables, str(self.log)), daemon=True)
        self.process.start()
        return self

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to a process that lives."""
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, as by the out-of-memory killer; the process is gone when this returns."""
        if self.process is not None and self.process.is_alive():
            self.send(signal.SIGKILL)
            self.process.join()


def _operate(variables: dict[str, str], log: str) -> None:
    """Become an operator as in a pod: its variables alone, no name of the user, no standard output but a file."""
    for key in [key for key in os.environ if key.startswith(NOT_IN_A_POD)]:
        del os.environ[key]
    os.environ.update(variables)
    pwd.getpwuid = _unknown
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Imported by the fork server, never by the tests.
    from kubernetes.aio.config import kube_config  # noqa: PLC0415

    from lora_operator.__main__ import main  # noqa: PLC0415

    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = variables["KUBECONFIG"]  # read at its import

    sys.exit(main())


def _unknown(uid: int) -> pwd.struct_passwd:
    raise KeyError(f"getpwuid(): uid not found: {uid}")
