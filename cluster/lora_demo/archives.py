"""Image archives that hold only what changed: a code layer on top of dependencies that a node has already.

A dependency image is gigabytes and changes with the requirements; the code layer is kilobytes and changes hourly.
containerd identifies layers by digest, so an archive may leave out those that it has from another image.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def folder_layer(root: Path, folder: str) -> bytes:
    """Return a layer with one folder of an image; the same files give the same bytes.

    Args:
        root: root folder of the image.
        folder: path in the image without the leading `/`.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path in [*reversed((Path(folder) / "x").parents[:-1]), *sorted(_below(root, folder))]:
            layer.add(root / path, arcname=str(path), recursive=False, filter=_without_owner_and_time)
    return content.getvalue()


def layer_sizes(docker_archive: Path) -> dict[str, int]:
    """Return digest and size in bytes of every uncompressed layer in a docker-archive."""
    with tarfile.open(docker_archive) as archive:
        return {
            f"sha256:{member.name.removesuffix('.tar')}": member.size
            for member in archive.getmembers()
            if member.isfile() and member.name.endswith(".tar")
        }


def write_on_top(target: Path, *, name: str, base: dict[str, Any], base_sizes: dict[str, int], layer: bytes) -> None:
    """Write an oci-archive of the image `base` plus one layer, without the layers of `base`.

    Args:
        target: file to write; it appears complete.
        name: full name with tag that the image gets.
        base: OCI configuration of the image below.
        base_sizes: size of each of its layers by digest.
        layer: the layer on top, an uncompressed tar.
    """
    digest = _digest(layer)
    below: list[str] = base["rootfs"]["diff_ids"]
    config = _json(
        {
            "architecture": base["architecture"],
            "os": base["os"],
            "config": base["config"],
            "rootfs": {"type": "layers", "diff_ids": [*below, digest]},
        }
    )
    sizes = {**base_sizes, digest: len(layer)}
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": each, "size": sizes[each]} for each in (*below, digest)],
        }
    )
    described = {"mediaType": _MANIFEST, "digest": _digest(manifest), "size": len(manifest)}
    index = _json({"schemaVersion": 2, "manifests": [{**described, "annotations": {"io.containerd.image.name": name}}]})
    half = target.with_name(f".{target.name}")
    with tarfile.open(half, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for blob in (layer, config, manifest):
            _add(archive, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)
        _add(archive, "index.json", index)
    half.rename(target)


def _below(root: Path, folder: str) -> list[Path]:
    return [path.relative_to(root) for path in (root / folder).rglob("*")]


def _without_owner_and_time(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
