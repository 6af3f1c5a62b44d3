"""An image archive that leaves out the layers a node has already."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from lora_cluster.images import read_archive
from lora_demo import archives

_BASE: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"User": "65532:65532", "Entrypoint": ["python", "-m", "lora_operator"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]},
}
_SIZES = {"sha256:" + "a" * 64: 5_000_000_000}


def _code(root: Path) -> Path:
    folder = root / "opt" / "lora" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("VALUE = 1\n")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("not part of the layer")
    return root


def test_the_same_files_give_the_same_layer_whatever_their_times(tmp_path: Path) -> None:
    first, second = _code(tmp_path / "a"), _code(tmp_path / "b")
    (second / "opt" / "lora" / "package" / "__init__.py").touch()
    assert archives.folder_layer(first, "opt/lora") == archives.folder_layer(second, "opt/lora")


def test_a_layer_holds_the_folder_and_its_parents_and_nothing_else(tmp_path: Path) -> None:
    layer = archives.folder_layer(_code(tmp_path), "opt/lora")
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        names = tar.getnames()
    assert names == ["opt", "opt/lora", "opt/lora/package", "opt/lora/package/__init__.py"]


def test_an_archive_names_all_layers_and_carries_only_the_top_one(tmp_path: Path) -> None:
    layer = archives.folder_layer(_code(tmp_path / "root"), "opt/lora")
    target = tmp_path / "operator.tar"
    archives.write_on_top(target, name="localhost/x/operator:1", base=_BASE, base_sizes=_SIZES, layer=layer)
    read = read_archive(target)
    assert read.names == ("localhost/x/operator:1",)
    with tarfile.open(target) as tar:
        blobs = {name.rpartition("/")[2] for name in tar.getnames() if name.startswith("blobs/")}
        manifest = json.loads(_blob(tar, read.digest))
        config = json.loads(_blob(tar, manifest["config"]["digest"]))
    assert [each["digest"] for each in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert manifest["layers"][0]["size"] == _SIZES["sha256:" + "a" * 64]
    assert "a" * 64 not in blobs
    assert len(blobs) == 3
    assert config["config"] == _BASE["config"]


def _blob(tar: tarfile.TarFile, digest: str) -> bytes:
    member = tar.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    assert member is not None
    return member.read()
