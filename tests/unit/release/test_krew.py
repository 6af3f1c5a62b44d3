"""The plugin for Krew: its manifest keeps Krew's rules, and its archive runs where it is unpacked."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from release.krew import PLATFORMS, manifest
from release.plugin_archive import pack, sha256_of

ROOT = Path(__file__).parents[3]
#: What Krew checks of a manifest: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest
_LABELS = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {"os": {"enum": ["linux", "darwin", "windows"]}, "arch": {"type": "string"}},
}
_PLATFORM = {
    "type": "object",
    "required": ["selector", "uri", "sha256", "bin"],
    "additionalProperties": False,
    "properties": {
        "selector": {"type": "object", "required": ["matchLabels"], "properties": {"matchLabels": _LABELS}},
        "uri": {"type": "string", "pattern": r"^https://.+\.(tar\.gz|zip)$"},
        "sha256": {"type": "string", "pattern": "^[a-f0-9]{64}$"},
        "bin": {"type": "string", "minLength": 1},
    },
}
_SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "krew.googlecontainertools.github.com/v1alpha2"},
        "kind": {"const": "Plugin"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": r"^[\w-]+$"}},
        },
        "spec": {
            "type": "object",
            "required": ["version", "shortDescription", "platforms"],
            "additionalProperties": False,
            "properties": {
                "version": {"type": "string", "pattern": r"^v\d+\.\d+\.\d+(-[\w.]+)?$"},
                "homepage": {"type": "string"},
                "shortDescription": {"type": "string", "pattern": r"^[^\r\n]{1,50}$"},
                "description": {"type": "string"},
                "caveats": {"type": "string"},
                "platforms": {"type": "array", "minItems": 1, "items": _PLATFORM},
            },
        },
    },
}
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def installed(folder: Path, files: dict[str, str]) -> Path:
    """A folder as an installer leaves it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def unpacked(archive: bytes, folder: Path) -> Path:
    """The folder that Krew unpacks an archive into."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        content.extractall(folder, filter="data")
    return folder


def call(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call a program with this Python as python3, and without the checkout on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)


def test_the_manifest_keeps_the_rules_of_krew() -> None:
    made = manifest("https://example.org/v1/", {platform: sha256_of(platform.arch.encode()) for platform in PLATFORMS})

    jsonschema.validate(made, _SCHEMA)
    platforms: list[dict[str, Any]] = made["spec"]["platforms"]
    selectors = [tuple(sorted(each["selector"]["matchLabels"].items())) for each in platforms]
    assert len(set(selectors)) == len(PLATFORMS)
    assert re.fullmatch(r"https://example\.org/v1/kubectl-lora_v[\d.]+_linux_amd64\.tar\.gz", platforms[0]["uri"]), (
        platforms[0]["uri"]
    )


def test_what_is_the_same_for_all_versions_of_python_is_packed_once(tmp_path: Path) -> None:
    common = {
        "pure/__init__.py": "1",
        "bin/tool": "#!",
        "pure-1.dist-info/RECORD": "pure",
        "pure-1.dist-info/uv_cache.json": "time",
        "x/__pycache__/x.pyc": "c",
    }
    trees = {
        version: installed(tmp_path / version, common | {"fast/__init__.py": "1", "fast/_c.so": version})
        for version in ("3.11", "3.12")
    }

    with tarfile.open(fileobj=io.BytesIO(pack(trees, ROOT / "LICENSE"))) as archive:
        names = archive.getnames()

    packages = [name for name in names if name.endswith((".py", ".so", "RECORD", ".json", "tool", ".pyc"))]
    assert packages == [
        "lib-3.11/fast/__init__.py",
        "lib-3.11/fast/_c.so",
        "lib-3.12/fast/__init__.py",
        "lib-3.12/fast/_c.so",
        "lib/pure/__init__.py",
    ]


def test_an_archive_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = {"a/__init__.py": "1", "b/__init__.py": "2"}
    first = pack({"3.11": installed(tmp_path / "first", files)}, ROOT / "LICENSE")
    second_tree = installed(tmp_path / "second", dict(reversed(files.items())))
    os.utime(second_tree / "a" / "__init__.py", (0, 0))

    assert pack({"3.11": second_tree}, ROOT / "LICENSE") == first


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The plugin as Krew installs it, for this Python: a link to the program in the unpacked archive."""
    tree = tmp_path / "tree"
    for package in ("lora_cli", "lora_contract", "lora_pages"):
        shutil.copytree(ROOT / "operator" / package, tree / package)
    store = unpacked(pack({PYTHON: tree}, ROOT / "LICENSE"), tmp_path / "store")
    link = tmp_path / "bin" / "kubectl-lora"
    link.parent.mkdir()
    link.symlink_to(store / "kubectl-lora")
    return link


def test_the_program_runs_from_where_krew_links_it(plugin: Path) -> None:
    said = call(plugin, "compare", "--help")

    assert (said.returncode, said.stderr) == (0, "")
    assert "--page" in said.stdout


def test_another_python_is_told_which_ones_do(plugin: Path) -> None:
    (plugin.resolve().parent / f"lib-{PYTHON}").rename(plugin.resolve().parent / "lib-2.7")

    said = call(plugin, "--help")

    assert said.returncode == 1
    assert said.stderr == f"error: kubectl lora was packed for Python 2.7; python3 on your PATH is {PYTHON}.\n"
