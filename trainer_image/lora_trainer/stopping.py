"""SIGTERM: at once where nothing would be lost, else at the end of the step. Imports nothing heavy.

Process 1 of a container ignores SIGTERM unless a handler is installed, so this comes before any slow import.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(BaseException):
    """The process was asked to stop; not an `Exception`, so nothing handles it on the way but the entry point."""


class _State:
    requested = False
    deferred = False
    raised = False


def install() -> None:
    """Handle SIGTERM and SIGINT from now on."""
    for number in _SIGNALS:
        signal.signal(number, _handle)


def _handle(_number: int, _frame: FrameType | None) -> None:
    """Stop the process once: a second signal must not interrupt what the first one made it do, its last words too."""
    _State.requested = True
    if not _State.deferred and not _State.raised:
        _State.raised = True
        raise StopRequested


def request() -> None:
    """Ask this process to stop, as a signal would: another process of the run got one."""
    _State.requested = True


def requested() -> bool:
    """Tell whether the process was asked to stop."""
    return _State.requested


@contextmanager
def deferred() -> Iterator[None]:
    """Let a signal only set the flag inside; the code there looks at `requested` itself."""
    _State.deferred = True
    try:
        yield
    finally:
        _State.deferred = False


def check() -> None:
    """Stop here if asked to.

    Raises:
        StopRequested: the process was asked to stop.
    """
    if _State.requested:
        _State.raised = True
        raise StopRequested
