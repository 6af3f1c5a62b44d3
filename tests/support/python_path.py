"""Where a process finds what the tests can import."""

from __future__ import annotations

import os
import sys


def python_path() -> str:
    """Value of PYTHONPATH for a process that imports what this one can."""
    return os.pathsep.join(entry for entry in sys.path if entry)
