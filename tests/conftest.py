"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# One thread a process, set before anything imports torch: equal results on any machine, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes tells how busy the machine is, not whether the code is right.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
