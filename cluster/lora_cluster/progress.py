"""Progress lines with the seconds since the command began, on standard error."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print one progress line, at once, so that a log shows where a slow step is."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)
