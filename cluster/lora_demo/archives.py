"""Image archives that hold one layer each: a node has the layers below from the archives before.

A dependency layer is gigabytes and changes with the requirements; the code layer is kilobytes and changes hourly.
containerd identifies layers by digest, so an archive may leave out those that it has from another image. buildah would
read and hash gigabytes several times to commit and to export them; here it happens once, while they are written.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_BLOCK_BYTES = 1 << 20
_LAYER = "application/vnd.oci.image.layer.v1.tar"


#: The layers of an image, lowest first: size in bytes by digest.
Layers = dict[str, int]


@dataclass(frozen=True)
class Folder:
    """What a layer holds: a folder of this machine, at a path of the image.

    Times matter to bytecode that was compiled beside its source; without them, the same files give the same layer.
    """

    source: Path
    path: str
    with_times: bool = False

    def write(self, target: IO[bytes]) -> None:
        """Write the layer, a tar, without owners."""
        with tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_BLOCK_BYTES) as layer:
            for parent in reversed(Path(self.path).parents[:-1]):
                entry = tarfile.TarInfo(str(parent))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                layer.addfile(entry)
            for path in (self.source, *sorted(self.source.rglob("*"))):
                name = Path(self.path) / path.relative_to(self.source)
                layer.add(path, arcname=str(name), recursive=False, filter=self._entry)

    def _entry(self, entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = int(entry.mtime) if self.with_times else 0
        return entry


def digest(folder: Folder) -> str:
    """Return the digest of the layer with a small folder."""
    measured = _Measured(io.BytesIO())
    folder.write(measured)  # type: ignore[arg-type]
    return measured.digest.hexdigest()


def layers_of(archive: Path) -> Layers:
    """Return the layers that the image of an archive has, whether the archive holds them or not."""
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar.getmembers()}
        if "index.json" in members:
            return {each["digest"]: each["size"] for each in _manifest(tar)["layers"]}
        names = _read(tar, "manifest.json")[0]["Layers"]
        return {f"sha256:{name.removesuffix('.tar')}": members[name].size for name in names}


def configuration_of(archive: Path) -> dict[str, Any]:
    """Return the OCI configuration of the image of an oci-archive."""
    with tarfile.open(archive) as tar:
        configuration: dict[str, Any] = _read(tar, _blob(_manifest(tar)["config"]["digest"]))
        return configuration


def write_on_top(target: Path, *, name: str, configuration: dict[str, Any], below: Layers, folder: Folder) -> None:
    """Write an oci-archive of an image whose top layer is `folder`, without the layers below.

    Args:
        target: file to write; it appears complete.
        name: full name with tag that the image gets.
        configuration: OCI configuration with architecture, os and config; its own layers do not count.
        below: the layers below, which the node has already.
        folder: what the layer on top holds.
    """
    half = target.with_name(f".{target.name}")
    half.parent.mkdir(parents=True, exist_ok=True)
    with half.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        digest, size = _add_layer(archive, file, folder)
        layers = {**below, digest: size}
        described = _add_descriptions(archive, configuration, layers)
        described["annotations"] = {"io.containerd.image.name": name}
        _add(archive, "index.json", _json({"schemaVersion": 2, "manifests": [described]}))
    half.rename(target)


def _add_descriptions(archive: tarfile.TarFile, configuration: dict[str, Any], layers: Layers) -> dict[str, Any]:
    """Add configuration and manifest; the descriptor of the manifest."""
    parts = {part: configuration[part] for part in ("architecture", "os", "config")}
    config = _json({**parts, "rootfs": {"type": "layers", "diff_ids": list(layers)}})
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": each, "size": size} for each, size in layers.items()],
        }
    )
    for blob in (config, manifest):
        _add(archive, _blob(_digest(blob)), blob)
    return {"mediaType": _MANIFEST, "digest": _digest(manifest), "size": len(manifest)}


def _add_layer(archive: tarfile.TarFile, file: IO[bytes], folder: Folder) -> tuple[str, int]:
    """Add the layer as a blob; its digest and size. Its header, which names both, is written when they are known."""
    start = archive.offset
    file.seek(start + tarfile.BLOCKSIZE)
    measured = _Measured(file)
    folder.write(measured)  # type: ignore[arg-type]
    file.write(b"\0" * (-measured.size % tarfile.BLOCKSIZE))
    archive.offset = file.tell()
    digest = f"sha256:{measured.digest.hexdigest()}"
    entry = tarfile.TarInfo(_blob(digest))
    entry.size = measured.size
    file.seek(start)
    file.write(entry.tobuf(tarfile.GNU_FORMAT))
    file.seek(archive.offset)
    return digest, measured.size


class _Measured:
    """A file that is written to, with the digest and the number of the bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = file

    def write(self, block: bytes) -> int:
        self.digest.update(block)
        self.size += len(block)
        return self._file.write(block)


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _manifest(tar: tarfile.TarFile) -> Any:
    """Return the manifest of the only image of an oci-archive."""
    return _read(tar, _blob(_read(tar, "index.json")["manifests"][0]["digest"]))


def _read(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise tarfile.TarError(f"{name} is not a file")
    return json.loads(member.read())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
