"""The command line as a user calls it, in this process."""

from __future__ import annotations

import contextlib
import io
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lora_cli import __main__ as program
from lora_cli.commands import screen
from support.cli_demo import NOW


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


class _Frozen(datetime):
    """A clock that stands at the demo's time."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW.astimezone(tz)


class Plugin:
    """`kubectl lora` with a kubeconfig, and with the clock of the demo."""

    def __init__(self, patch: pytest.MonkeyPatch, kubeconfig: Path) -> None:
        self._patch = patch
        patch.setenv("KUBECONFIG", str(kubeconfig))
        patch.setenv("COLUMNS", "100")
        patch.setattr(screen, "datetime", _Frozen)

    def __call__(self, *words: str) -> Said:
        """Call it with words."""
        self._patch.setattr("sys.argv", ["kubectl-lora", *words])
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                program.main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
        return Said(code, out.getvalue(), err.getvalue())
