"""Fixtures of the tests that use a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.layout import RunLayout
from support.s3_rig import PART, Rig, rig, session_rig
from support.seaweedfs import s3_server

__all__ = ["rig", "s3_server", "session_rig"]


@pytest.fixture
def layout(rig: Rig) -> RunLayout:
    return RunLayout(rig.uri("adapters"), "0123456789abcdef0123456789abcdef")


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """A file of three parts."""
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(range(256)) * (2 * PART // 256 + 100))
    return path
