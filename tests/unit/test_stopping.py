"""Signals that ask a process to stop."""

from __future__ import annotations

import subprocess
import sys

_TWICE = """
import os, signal
from lora_trainer import stopping
stopping.install()
try:
    os.kill(os.getpid(), signal.SIGTERM)
except stopping.StopRequested:
    os.kill(os.getpid(), signal.SIGTERM)
    print("said its last words, asked to stop:", stopping.requested())
"""


def test_a_second_signal_does_not_interrupt_the_last_words() -> None:
    done = subprocess.run([sys.executable, "-c", _TWICE], capture_output=True, text=True, check=False)
    assert done.stdout == "said its last words, asked to stop: True\n", done.stderr
