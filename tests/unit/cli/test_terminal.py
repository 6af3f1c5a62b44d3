"""On a terminal a run is drawn until it ends, and what was not said is asked for."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

from support.api_server import eventually
from support.cli_demo import condition
from support.stub_cluster import StubCluster


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, kubeconfig: Path, *words: str) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            environment = os.environ | {"KUBECONFIG": str(kubeconfig), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
            os.execve(sys.executable, [sys.executable, "-m", "lora_cli", *words], environment)  # noqa: S606
        os.set_blocking(self._end, False)
        self.text = ""

    def shows(self, words: str) -> bool:
        """Read what was drawn by now, and tell whether words are in it."""
        try:
            while piece := os.read(self._end, 65536):
                self.text += piece.decode()
        except OSError:  # nothing there now, or the end
            pass
        return words in self.text

    def types(self, words: str) -> None:
        """Type words and the return key."""
        os.write(self._end, f"{words}\n".encode())

    def exit_code(self) -> int:
        """Wait for the end."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_run_is_drawn_until_it_ends(cluster: StubCluster, tmp_path: Path) -> None:
    terminal = Terminal(cluster.write_kubeconfig(tmp_path / "config"), "watch", "triage-v2", "--interval=0.1")
    eventually("the bar is drawn", lambda: terminal.shows("[############------------] step 12 of 24"))

    status = cluster.runs[1]["status"]
    status["conditions"] = [condition("Finished", "True", "Done"), condition("Complete", "True", "Done")]
    eventually("the page of its end", lambda: terminal.shows("CONDITION"))

    assert terminal.exit_code() == 0
    assert terminal.shows("\x1b[?25h")


def test_what_was_not_said_is_asked_for(cluster: StubCluster, tmp_path: Path) -> None:
    terminal = Terminal(cluster.write_kubeconfig(tmp_path / "config"), "create", "triage", "--output=s3://adapters/a/")

    for question, answer in (
        ("Base model", "microsoft/Phi-4-mini-instruct"),
        ("Its commit", ""),
        ("Training data", "s3://datasets/triage.jsonl"),
        ("Secret", "s3"),
        ("LocalQueue", ""),
    ):
        eventually(f"{question} is asked for", lambda asked=question: terminal.shows(asked))  # type: ignore[misc]
        terminal.types(answer)
    eventually("the manifest", lambda: terminal.shows("secretName: s3"))

    assert terminal.exit_code() == 0
    assert terminal.shows("allowFloatingRevision: true")
    assert "Where adapters go" not in terminal.text
