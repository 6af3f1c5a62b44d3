"""The way of an adapter into the store: files, then the manifest, then the pointer, each by conditional PUT.

Until the manifest is there, readers see nothing. Every file is put on the condition that what lies there is still
what this publisher saw, after it made sure that it still holds the run; so a publisher that was cut off and comes back
cannot change a file of the one that took over, and whatever a dead one left is replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST, RunLayout
from lora_contract.status import ArtifactStatus
from lora_trainer.digests import FileDigest, digests_below
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import Fenced
from lora_trainer.publish.manifest import Manifest, Pointer, Provenance
from lora_trainer.publish.reader import find_published, read_artifact
from lora_trainer.store import Store, about

log = logging.getLogger(__name__)

#: Endings of files of an adapter: none of them can carry code.
ALLOWED = frozenset({".safetensors", ".json", ".jsonl", ".txt", ".jinja", ".model", ".md", ".html"})
_JSON = "application/json"
_TRIES = 20


def publish(
    store: Store,
    layout: RunLayout,
    name: str,
    folder: Path,
    metadata: Provenance,
    *,
    still_ours: Callable[[], None] = lambda: None,
) -> ArtifactStatus:
    """Publish the flat files of `folder` as the adapter of this run and remove the run's work prefix.

    `still_ours` is called before every write and raises when another process took the run over (`Claim.check`).
    Returns the published adapter: another publisher's where one was first.

    Raises:
        TrainerError: a file is not fit to be published, or the store refuses.
    """
    manifest = Manifest(**dict(metadata), files=checked_files(folder))
    publication = _Publication(store, layout, layout.published(name), still_ours)
    with about(spec_paths.OUTPUT_URI):
        try:
            artifact = find_published(store, layout) or publication.run(folder, manifest)
        except Fenced:
            finished = find_published(store, layout)
            if finished is None:
                raise
            return finished
        clean_up(store, layout, artifact)
        return artifact


def clean_up(store: Store, layout: RunLayout, artifact: ArtifactStatus) -> None:
    """Remove the work of a published run, and uploads that dead publishers left unfinished."""
    store.abort_uploads(artifact.uri)
    store.delete(layout.work)


def checked_files(folder: Path) -> dict[str, FileDigest]:
    """Return the digests of the files of an adapter.

    Raises:
        TrainerError: a file lies in a sub-folder, is of a kind that can carry code, or a necessary one is missing.
    """
    files = digests_below(folder)
    for name in files:
        if "/" in name or name == MANIFEST or Path(name).suffix not in ALLOWED:
            raise TrainerError(
                ExitCode.VERIFICATION_FAILED, f"{name} must not be published: only flat files without code"
            )
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if name not in files:
            raise TrainerError(ExitCode.VERIFICATION_FAILED, f"the adapter has no {name}")
    return files


@dataclass(frozen=True)
class _Publication:
    store: Store
    layout: RunLayout
    prefix: str
    still_ours: Callable[[], None]

    def run(self, folder: Path, manifest: Manifest) -> ArtifactStatus:
        """Complete what is missing: the adapter, then the pointer to it."""
        artifact = read_artifact(self.store, self.layout, self.prefix)
        if artifact is None:
            for name, digest in manifest.files.items():
                self._put_file(folder / name, f"{self.prefix}/{name}", digest)
            artifact = self._commit(manifest)
        return self._point_to(artifact)

    def _put_file(self, path: Path, uri: str, digest: FileDigest) -> None:
        for _ in range(_TRIES):
            seen = self.store.info(uri)
            self.still_ours()
            if self.store.upload_if(path, uri, seen, sha256=digest.sha256):
                return
        raise _contended(uri)

    def _commit(self, manifest: Manifest) -> ArtifactStatus:
        """Put manifest.json, unless another publisher did; one whose files are gone is replaced."""
        content = manifest.encoded()
        winner = self._put_unless(
            f"{self.prefix}/{MANIFEST}", content, lambda: read_artifact(self.store, self.layout, self.prefix)
        )
        return winner or manifest.artifact(self.prefix, content)

    def _point_to(self, artifact: ArtifactStatus) -> ArtifactStatus:
        """Put the pointer, unless another publisher did; one to an adapter that is gone is replaced."""
        pointer = Pointer(manifest=f"{artifact.uri}/{MANIFEST}", sha256=artifact.manifest_digest)
        winner = self._put_unless(
            self.layout.pointer, pointer.encoded(), lambda: find_published(self.store, self.layout)
        )
        return winner or artifact

    def _put_unless(
        self, uri: str, content: bytes, find_winner: Callable[[], ArtifactStatus | None]
    ) -> ArtifactStatus | None:
        for _ in range(_TRIES):
            seen = self.store.info(uri)
            winner = None if seen is None else find_winner()
            if winner is not None:
                log.info("another publisher was first: %s", winner.uri)
                return winner
            self.still_ours()
            if seen is None:
                done = self.store.create(uri, content, content_type=_JSON)
            else:
                done = self.store.replace(uri, content, seen, content_type=_JSON)
            if done:
                return None
        raise _contended(uri)


def _contended(uri: str) -> TrainerError:
    return TrainerError(ExitCode.UNAVAILABLE, f"another writer keeps changing {uri}")
