"""A file that was fetched is held against what its source states, whatever the source is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.digests import verified_sha256
from lora_trainer.errors import TrainerError

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(("size", "sha256"), [(7, SHA256), (7, None), (None, None)])
def test_a_file_that_is_what_its_source_states_is_taken(tmp_path: Path, size: int | None, sha256: str | None) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)

    assert verified_sha256(path, "a.bin of team/model", size=size, sha256=sha256) == SHA256


@pytest.mark.parametrize(("size", "sha256"), [(8, None), (7, "0" * 64)], ids=["size", "content"])
def test_a_file_that_is_not_what_its_source_states_is_fetched_again_by_a_new_pod(
    tmp_path: Path, size: int, sha256: str | None
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)

    with pytest.raises(TrainerError) as raised:
        verified_sha256(path, "a.bin of team/model", size=size, sha256=sha256, param="spec.dataset.uri")

    assert raised.value.exit_code is ExitCode.UNAVAILABLE
    assert raised.value.message.startswith("a.bin of team/model arrived damaged: its size or sha256")
    assert raised.value.param == "spec.dataset.uri"
