"""Run other programs and wait for conditions; failures become `ClusterError`."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lora_cluster.errors import ClusterError

_POLL_SECONDS = 0.2


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run `argv` to its end and return its standard output.

    Raises `ClusterError` with the program's own words when it fails or is not installed.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=directory,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ClusterError(f"`{' '.join(words[:6])}` failed with exit code {done.returncode}: {said}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Tell whether `argv` ends with exit code 0; its output is dropped."""
    try:
        run(argv)
    except ClusterError:
        return False
    return True


def wait_until(
    what: str,
    condition: Callable[[], bool],
    *,
    timeout: float,
    still_possible: Callable[[], None] | None = None,
) -> None:
    """Poll `condition` until it holds.

    `timeout` is in seconds. `still_possible` is called between polls and raises when waiting is pointless.
    Raises `ClusterError` naming `what` when the time is over.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if still_possible is not None:
            still_possible()
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {timeout:.0f} s in vain for: {what}")
        time.sleep(_POLL_SECONDS)
