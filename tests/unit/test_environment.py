"""What a process is given by its machine."""

from __future__ import annotations

import subprocess
import sys
import time

_AGE = "from lora_trainer.environment import process_age; print(process_age())"
_TICK = 0.01


def test_the_age_of_a_process_counts_from_its_start() -> None:
    began = time.monotonic()
    age = float(subprocess.run([sys.executable, "-c", _AGE], capture_output=True, check=True, text=True).stdout)

    assert 0 < age <= time.monotonic() - began + _TICK
