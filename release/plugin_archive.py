"""The archive that Krew unpacks: the plugin with all that it needs, for one platform and several versions of Python."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "kubectl-lora"
#: What an installer notes beside a package: where it came from and when.
_OF_THE_INSTALLER = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
_LAUNCHER = Path(__file__).with_name("launcher.py")


def pack(trees: Mapping[str, Path], license_file: Path) -> bytes:
    """Pack folders of installed packages into one archive, the same bytes for the same content.

    `trees`: a folder for each version of Python (`3.11`). What is the same for all of them is packed once, in `lib`;
    a package with compiled parts, which differ, goes whole into `lib-<version>`.
    """
    files = {PROGRAM: _LAUNCHER.read_bytes(), "LICENSE": license_file.read_bytes()}
    found = {version: _packages(tree) for version, tree in trees.items()}
    for version, packages in found.items():
        files[f"lib-{version}/README"] = b"Packages that differ between versions of Python.\n"
        for name, content in packages.items():
            everywhere = all(other.get(name) == content for other in found.values())
            folder = "lib" if everywhere else f"lib-{version}"
            files |= {f"{folder}/{path}": data for path, data in content.items()}
    return _compressed(files)


def sha256_of(archive: bytes) -> str:
    """Return the digest of an archive, in hexadecimal digits."""
    return hashlib.sha256(archive).hexdigest()


def _packages(tree: Path) -> dict[str, dict[str, bytes]]:
    """Read the files of a folder by the package that they belong to, their paths from the folder on."""
    packages: dict[str, dict[str, bytes]] = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if path.is_file() and not _left_out(name):
            packages.setdefault(name.parts[0], {})[name.as_posix()] = path.read_bytes()
    return packages


def _left_out(path: Path) -> bool:
    """Tell whether a file is of the installation, not of a package; programs of dependencies are not called."""
    return bool({"__pycache__", "bin", ".lock"} & set(path.parts)) or path.name in _OF_THE_INSTALLER


def _compressed(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=9, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if name == PROGRAM else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()
