"""Building images with buildah, in a store of our own below the cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lora_cluster.commands import run, succeeds
from lora_cluster.layout import cache_root

#: Programs that talk to package indexes read these; they are handed to build steps and never stored in an image.
_CERTIFICATES = Path("/etc/ssl/certs")
_RUN_ROOT = Path("/run/lora-operator-buildah")


def exists(image: str) -> bool:
    """Tell whether the store has the image."""
    return succeeds(_command("inspect", "--type=image", image))


def build(
    image: str,
    *,
    dockerfile: Path,
    context: Path,
    target: str = "",
    arguments: Mapping[str, str] | None = None,
    volume: tuple[Path, str] | None = None,
) -> None:
    """Build one target of a Dockerfile; steps that did not change come from the store.

    `volume`: a folder of this machine and where it is mounted; what steps write there is not part of the image, and
    every step is done anew.
    """
    options = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
    options += [f"--target={target}"] if target else []
    options += [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if _CERTIFICATES.exists() else []
    options += [f"--volume={volume[0]}:{volume[1]}"] if volume else []
    _run(
        "bud", "--quiet", f"--layers={'false' if volume else 'true'}", "--isolation=chroot", "--network=host", *options,
        f"--file={dockerfile}", f"--tag={image}", str(context),
    )  # fmt: skip


def inspect(image: str) -> dict[str, Any]:
    """Return the OCI configuration of an image: user, environment, entrypoint, layers."""
    configuration: dict[str, Any] = json.loads(_run("inspect", "--type=image", image))["OCIv1"]
    return configuration


def save(image: str, archive: Path) -> None:
    """Write an image with all its layers, uncompressed, as a docker-archive; the file appears complete."""
    half = archive.with_name(f".{archive.name}")
    half.unlink(missing_ok=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    _run("push", "--quiet", image, f"docker-archive:{half}:{image}")
    half.rename(archive)


def load(archive: Path) -> None:
    """Take an image from a docker-archive into the store, under the name that it has there."""
    _run("pull", "--quiet", f"docker-archive:{archive}")


def push(image: str, name: str) -> None:
    """Push an image to a registry; credentials are those of the user (`buildah login`)."""
    _run("push", "--quiet", image, f"docker://{name}")


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """Mount the root folder of an image, for the time of the block."""
    container = _run("from", "--pull-never", image).strip()
    try:
        yield Path(_run("mount", container).strip())
    finally:
        _run("rm", container)


def prune() -> None:
    """Forget the images that no name leads to any more; what named ones were built from stays."""
    succeeds(_command("rmi", "--prune"))


def remove(image: str) -> None:
    """Forget an image and the layers that no other image needs; none there is no error."""
    succeeds(_command("rmi", image))


def _command(*words: str) -> list[str | Path]:
    return ["nice", "-n", "10", "buildah", f"--root={_home() / 'storage'}", f"--runroot={_RUN_ROOT}", *words]


def _run(*words: str) -> str:
    temporary = _home() / "tmp"  # the downloads of build steps are kept below it
    temporary.mkdir(parents=True, exist_ok=True)
    return run(_command(*words), environment={**os.environ, "TMPDIR": str(temporary)})


def _home() -> Path:
    return cache_root() / "buildah"
