"""These tests need one CUDA device and say so where there is none."""

from __future__ import annotations

import pytest
import torch


def pytest_collection_modifyitems() -> None:
    if not torch.cuda.is_available():
        pytest.exit("no CUDA device here: these tests are for a machine with an NVIDIA GPU", returncode=1)
