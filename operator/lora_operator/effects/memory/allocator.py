"""Memory that the process has freed, given back to the system.

The C library keeps what was freed for itself. After thousands of resources were listed that is a fifth of the process.
"""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give freed memory back to the system; nothing happens where the C library has no `malloc_trim` (musl)."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
