"""Finding what was published."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from pydantic import ValidationError

from lora_contract.layout import MANIFEST, RunLayout
from lora_contract.status import ArtifactStatus
from lora_trainer.publish.manifest import Manifest, Pointer
from lora_trainer.store import Store

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class StoredManifest:
    """A valid manifest.json of a run as it lies below `prefix`; whether its files are whole is another question."""

    prefix: str
    manifest: Manifest
    content: bytes

    @property
    def artifact(self) -> ArtifactStatus:
        """What the status says of the adapter."""
        return self.manifest.artifact(self.prefix, self.content)


def find_published(store: Store, layout: RunLayout) -> ArtifactStatus | None:
    """Find the adapter of this identity, whoever published it; None when there is none, or it is no longer whole."""
    found = published_manifest(store, layout)
    return found.artifact if found is not None and is_whole(store, found) else None


def read_artifact(store: Store, layout: RunLayout, prefix: str) -> ArtifactStatus | None:
    """Read the adapter below `prefix`; None without a valid manifest of this run and every file as recorded."""
    found = _manifest_below(store, layout, prefix)
    return found.artifact if found is not None and is_whole(store, found) else None


def published_manifest(store: Store, layout: RunLayout) -> StoredManifest | None:
    """Read the manifest that the identity points to; None when there is none that can be trusted."""
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
    found = _manifest_below(store, layout, pointer.prefix)
    if found is not None and hashlib.sha256(found.content).hexdigest() != pointer.sha256:
        log.warning("the manifest in %s is not the published one; it is ignored", pointer.prefix)
        return None
    return found


def is_whole(store: Store, found: StoredManifest) -> bool:
    """Tell whether every file of an adapter is what its manifest says."""
    broken = _broken_files(store, found.prefix, found.manifest)
    if broken:
        log.warning("the adapter in %s is not whole any more (%s); it is ignored", found.prefix, ", ".join(broken))
    return not broken


def _manifest_below(store: Store, layout: RunLayout, prefix: str) -> StoredManifest | None:
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
    return StoredManifest(prefix, manifest, content)


def _broken_files(store: Store, prefix: str, manifest: Manifest) -> list[str]:
    """List the files that are not what the manifest says; sizes are compared first, then all files are read."""
    sizes = {info.uri.removeprefix(f"{prefix}/"): info.size for info in store.list(prefix)}
    wrong_size = sorted(name for name, file in manifest.files.items() if sizes.get(name) != file.size)
    return wrong_size or [
        name for name, file in manifest.files.items() if sha256_at(store, f"{prefix}/{name}") != file.sha256
    ]


def sha256_at(store: Store, uri: str) -> str:
    """Compute the sha256 of an object without keeping it."""
    digest = hashlib.sha256()
    with store.open(uri) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
