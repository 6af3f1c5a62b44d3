"""Ends a process in which nothing happens any more."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

#: Least seconds without a sign of life before the process counts as stalled.
MINIMUM_SECONDS = 900.0
#: ... and at least this many times the longest interval seen so far.
_FACTOR = 10.0


class Watchdog(TrainerCallback):
    """Dumps the stacks of all threads and calls `on_stall` when `beat` is not called for too long."""

    def __init__(self, on_stall: Callable[[float], None], *, minimum_seconds: float | None = None) -> None:
        """`on_stall` gets the seconds of silence and must end the process."""
        self._on_stall = on_stall
        self._minimum = MINIMUM_SECONDS if minimum_seconds is None else minimum_seconds
        self._longest = 0.0
        self._last = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Note that something was done."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that a micro batch is done."""
        self.beat()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Note that a step is done."""
        self.beat()

    def _watch(self) -> None:
        while not self._stopped.wait(min(10.0, self._minimum / 4)):
            limit = max(self._minimum, _FACTOR * self._longest)
            silent = time.monotonic() - self._last
            if silent > limit:
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                self._on_stall(silent)
                return
