"""Finding what was published."""

from __future__ import annotations

import hashlib
import logging

from pydantic import ValidationError

from lora_contract.layout import MANIFEST, RunLayout
from lora_contract.status import ArtifactStatus
from lora_trainer.publish.manifest import Manifest, Pointer
from lora_trainer.store import Store

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1024 * 1024


def find_published(store: Store, layout: RunLayout) -> ArtifactStatus | None:
    """The adapter of this identity, whoever published it; None when there is none, or it is no longer whole."""
    content = store.read_if_exists(layout.pointer)
    if content is None:
        return None
    try:
        pointer = Pointer.model_validate_json(content)
    except ValidationError:
        log.warning("%s is not a pointer; it is ignored", layout.pointer)
        return None
    if not pointer.manifest.startswith(layout.output.rstrip("/") + "/"):
        log.warning("%s points outside %s; it is ignored", layout.pointer, layout.output)
        return None
    artifact = read_artifact(store, layout, pointer.prefix)
    if artifact is not None and artifact.manifest_digest != pointer.sha256:
        log.warning("the manifest in %s is not the published one; it is ignored", pointer.prefix)
        return None
    return artifact


def read_artifact(store: Store, layout: RunLayout, prefix: str) -> ArtifactStatus | None:
    """The adapter below `prefix`; None without a valid manifest of this run and every file as recorded."""
    content = store.read_if_exists(f"{prefix}/{MANIFEST}")
    if content is None:
        return None
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError:
        log.warning("the manifest in %s is not valid; it is ignored", prefix)
        return None
    if manifest.run_id != layout.run_id:
        log.warning("the manifest in %s is of another run; it is ignored", prefix)
        return None
    broken = _broken_files(store, prefix, manifest)
    if broken:
        log.warning("the adapter in %s is not whole any more (%s); it is ignored", prefix, ", ".join(broken))
        return None
    return manifest.artifact(prefix, content)


def _broken_files(store: Store, prefix: str, manifest: Manifest) -> list[str]:
    """Files that are not what the manifest says; sizes are compared first, then all files are read."""
    sizes = {info.uri.removeprefix(f"{prefix}/"): info.size for info in store.list(prefix)}
    wrong_size = sorted(name for name, file in manifest.files.items() if sizes.get(name) != file.size)
    return wrong_size or [
        name for name, file in manifest.files.items() if _sha256(store, f"{prefix}/{name}") != file.sha256
    ]


def _sha256(store: Store, uri: str) -> str:
    digest = hashlib.sha256()
    with store.open(uri) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
