"""An image archive that leaves out the layers a node has already."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from lora_cluster.images import read_archive
from lora_demo import archives

_CONFIGURATION: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"User": "65532:65532", "Entrypoint": ["python", "-m", "lora_operator"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "f" * 64]},
}
_BELOW = {"sha256:" + "a" * 64: 5_000_000_000}
_PATH = "opt/lora"


def _code(root: Path) -> archives.Folder:
    folder = root / _PATH / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("VALUE = 1\n")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("not part of the layer")
    return archives.Folder(root / _PATH, _PATH)


def test_the_same_files_give_the_same_layer_whatever_their_times(tmp_path: Path) -> None:
    first, second = _code(tmp_path / "a"), _code(tmp_path / "b")
    os.utime(second.source / "package" / "__init__.py", (1, 1))
    assert archives.digest(first) == archives.digest(second)


def test_a_layer_keeps_the_times_that_bytecode_was_compiled_against(tmp_path: Path) -> None:
    folder = archives.Folder(_code(tmp_path).source, _PATH, with_times=True)
    os.utime(folder.source / "package" / "__init__.py", (1, 1234.5))
    layer = io.BytesIO()
    folder.write(layer)
    layer.seek(0)
    with tarfile.open(fileobj=layer) as tar:
        assert tar.getmember("opt/lora/package/__init__.py").mtime == 1234


def test_an_archive_names_all_layers_and_carries_only_the_top_one(tmp_path: Path) -> None:
    target = tmp_path / "operator.tar"
    archives.write_on_top(
        target,
        name="localhost/x/operator:1",
        configuration=_CONFIGURATION,
        below=_BELOW,
        folder=_code(tmp_path / "root"),
    )
    read = read_archive(target)
    assert read.names == ("localhost/x/operator:1",)
    with tarfile.open(target) as tar:
        blobs = {name.rpartition("/")[2] for name in tar.getnames() if name.startswith("blobs/")}
        manifest = json.loads(_blob(tar, read.digest))
        config = json.loads(_blob(tar, manifest["config"]["digest"]))
        top = _blob(tar, manifest["layers"][1]["digest"])
    assert [each["digest"] for each in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert archives.layers_of(target) == {**_BELOW, f"sha256:{hashlib.sha256(top).hexdigest()}": len(top)}
    assert archives.configuration_of(target) == config
    assert "a" * 64 not in blobs
    assert len(blobs) == 3
    assert config["config"] == _CONFIGURATION["config"]
    with tarfile.open(fileobj=io.BytesIO(top)) as layer:
        assert layer.getnames() == ["opt", "opt/lora", "opt/lora/package", "opt/lora/package/__init__.py"]


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    member = tar.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    assert member is not None
    return member.read()
