"""Container images as files: reading archives, and writing images of one static program."""

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_cluster.errors import ClusterError
from lora_cluster.tools import TOOLS

# An unprivileged user, as images without a distribution use it.
_USER = "65532:65532"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Archive:
    """An image archive: its file, the digest that identifies the image, and the names the image gets."""

    path: Path
    digest: str
    names: tuple[str, ...]


def read_archive(path: Path) -> Archive:
    """Read what a docker-archive or an oci-archive holds, without unpacking it.

    Raises `ClusterError` when it is neither, holds several images, or its image has no name.
    """
    try:
        with tarfile.open(path) as tar:
            members = tar.getnames()
            if "manifest.json" in members:
                return _docker_archive(path, _read_json(tar, "manifest.json"))
            if "index.json" in members:
                return _oci_archive(path, _read_json(tar, "index.json"))
    except FileNotFoundError as error:
        raise ClusterError(f"{path}: no such image archive") from error
    except tarfile.TarError as error:
        raise ClusterError(f"{path}: not a tar file: {error}") from error
    raise ClusterError(f"{path}: neither a docker-archive (manifest.json) nor an oci-archive (index.json)")


def container_runtime_name(reference: str) -> str:
    """Return the full name under which a kubelet looks an image up: with host and tag."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif not ("." in first or ":" in first or first == "localhost"):
        reference = f"docker.io/{reference}"
    return reference if ":" in reference.rpartition("/")[2] or "@" in reference else f"{reference}:latest"


def pause_tag() -> str:
    """Return the name of the image that holds a pod's namespaces."""
    return tool_tag("pause")


def tool_tag(tool: str) -> str:
    """Return the name of the image of one of the cluster's own tools; it changes whenever the program does."""
    return f"lora-cluster/{tool}:{TOOLS[tool].key}"


def write_program_image(target: Path, *, tag: str, program: Path, entrypoint: str) -> None:
    """Write a docker-archive with one static program at the path `entrypoint` and an empty /tmp.

    Times and owners are fixed, so the same program gives the same image.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        content = program.read_bytes()
        _add(tar, entrypoint.lstrip("/"), content, mode=0o755)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    layer_digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = platform.machine()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"User": _USER, "Entrypoint": [entrypoint]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [tag], "Layers": [layer_name]}]).encode()
    with tarfile.open(target, "w") as archive:
        _add(archive, config_name, config)
        _add(archive, layer_name, layer.getvalue())
        _add(archive, "manifest.json", manifest)


def _docker_archive(path: Path, manifest: Any) -> Archive:
    image = _only(path, manifest)
    names = tuple(image.get("RepoTags") or ())
    return _named(path, f"sha256:{Path(image['Config']).stem}", names)


def _oci_archive(path: Path, index: Any) -> Archive:
    image = _only(path, index["manifests"])
    annotations = image.get("annotations", {})
    name = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name", "")
    # A bare tag names no image.
    return _named(path, image["digest"], (name,) if "/" in name or ":" in name else ())


def _only(path: Path, images: list[dict[str, Any]]) -> dict[str, Any]:
    if len(images) != 1:
        raise ClusterError(f"{path}: holds {len(images)} images; write each to an archive of its own")
    return images[0]


def _named(path: Path, digest: str, names: tuple[str, ...]) -> Archive:
    if not names:
        raise ClusterError(f"{path}: the image has no name; write it as `buildah push IMAGE oci-archive:FILE:NAME:TAG`")
    return Archive(path, digest, names)


def _read_json(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise tarfile.TarError(f"{name} is not a file")
    return json.loads(member.read())


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
