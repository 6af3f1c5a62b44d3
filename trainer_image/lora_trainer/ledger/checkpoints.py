"""Checkpoints of a run in the store: files first, manifest last, read back only when every digest agrees.

A checkpoint is used only from the run's own prefix, only when each file is byte for byte what the manifest recorded,
and only when it holds what a checkpoint should hold (`lora_trainer.ledger.checkpoint_files`).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from lora_contract import spec_paths
from lora_contract.base import StatusModel
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST, RunLayout
from lora_trainer.digests import FileDigest, digest_of, digests_below, is_plain_name
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import Claim
from lora_trainer.store import Store, about

log = logging.getLogger(__name__)

KEEP_NEWEST = 2


class BrokenCheckpoint(Exception):  # noqa: N818 - an older one is taken in its place
    """A checkpoint that must not be loaded, and why."""


class CheckpointManifest(StatusModel):
    """The commit marker of a checkpoint."""

    version: Literal[1] = 1
    run_id: str = Field(description="Identity of the run.")
    claim: int = Field(description="Claim of the process that wrote it.")
    step: int = Field(description="Optimiser steps done.")
    best_step: int | None = Field(None, description="Step of the best evaluation so far.")
    files: dict[str, FileDigest] = Field(description="Every file by relative path.")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, downloaded and verified."""

    folder: Path
    manifest: CheckpointManifest


@dataclass(frozen=True)
class _Stored:
    """A checkpoint as listed: claim and step from its address; complete when it has a manifest."""

    uri: str
    claim: int
    step: int
    complete: bool


class Checkpoints:
    """Saves checkpoints from a thread, one at a time, and keeps the newest two and the best."""

    def __init__(self, store: Store, layout: RunLayout, claim: Claim, scratch: Path) -> None:
        """`scratch`: folder on the file system of the checkpoints; they are linked there while they go up."""
        self._store = store
        self._layout = layout
        self._claim = claim
        self._scratch = scratch
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[None] | None = None

    def save(self, folder: Path, step: int, *, best_step: int | None = None) -> None:
        """Start to upload a folder. The caller may delete it at once, but not change its files in place.

        Raises:
            TrainerError: the previous upload failed.
            Fenced: another process took the run over.
        """
        self.wait()
        snapshot = _link(folder, self._scratch)
        self._running = self._pool.submit(self._upload, snapshot, step, best_step)

    def wait(self) -> None:
        """Return when the last checkpoint is in the store; raise what its upload raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Wait, then end the thread."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def _upload(self, snapshot: Path, step: int, best_step: int | None) -> None:
        try:
            with about(spec_paths.OUTPUT_URI):
                self._put(snapshot, step, best_step)
        finally:
            shutil.rmtree(snapshot, ignore_errors=True)

    def _put(self, snapshot: Path, step: int, best_step: int | None) -> None:
        files = digests_below(snapshot)
        prefix = self._layout.checkpoint(self._claim.number, step)
        self._claim.check()
        self._store.delete(f"{prefix}/{MANIFEST}")
        for name, digest in files.items():
            self._store.upload(snapshot / name, f"{prefix}/{name}", sha256=digest.sha256)
        self._claim.check()
        manifest = CheckpointManifest(
            run_id=self._layout.run_id, claim=self._claim.number, step=step, best_step=best_step, files=files
        )
        content = manifest.model_dump_json(by_alias=True, indent=1).encode()
        self._store.write(f"{prefix}/{MANIFEST}", content, content_type="application/json")
        log.info("checkpoint of step %d is in %s", step, prefix)
        self._prune(best_step)

    def _prune(self, best_step: int | None) -> None:
        kept: list[int] = []
        for stored in _newest_first(self._store, self._layout):
            wanted = len(kept) < KEEP_NEWEST or stored.step == best_step
            if stored.complete and wanted and stored.step not in kept:
                kept.append(stored.step)
            else:
                self._store.delete(f"{stored.uri}/{MANIFEST}")
                self._store.delete(stored.uri)


def latest(store: Store, layout: RunLayout, into: Path, check: Callable[[Path], None]) -> Checkpoint | None:
    """Download the newest complete checkpoint of any claim to `into`; None when there is none.

    One whose manifest or files are broken is passed over with a warning, and the one before it is taken. `check` raises
    `BrokenCheckpoint` for a downloaded folder that must not be used.
    """
    for stored in _newest_first(store, layout):
        if not stored.complete:
            continue
        shutil.rmtree(into, ignore_errors=True)
        try:
            manifest = _download(store, layout, stored, into)
            check(into)
            return Checkpoint(into, manifest)
        except BrokenCheckpoint as broken:
            log.warning("the checkpoint %s is not usable (%s); looking for an older one", stored.uri, broken)
    shutil.rmtree(into, ignore_errors=True)
    return None


def _download(store: Store, layout: RunLayout, stored: _Stored, into: Path) -> CheckpointManifest:
    try:
        manifest = CheckpointManifest.model_validate_json(store.read(f"{stored.uri}/{MANIFEST}"))
    except ValidationError as error:
        raise BrokenCheckpoint(f"its manifest is not valid: {error.error_count()} errors") from error
    if (manifest.run_id, manifest.claim, manifest.step) != (layout.run_id, stored.claim, stored.step):
        raise BrokenCheckpoint("its manifest is of another checkpoint")
    for name, recorded in manifest.files.items():
        if not is_plain_name(name):
            raise BrokenCheckpoint(f"it names the file {name!r}")
        _download_file(store, f"{stored.uri}/{name}", into / name, recorded)
    return manifest


def _download_file(store: Store, uri: str, path: Path, recorded: FileDigest) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = store.info(uri)
    if found is not None and found.size != recorded.size:
        raise BrokenCheckpoint(f"{uri} is not what was saved")
    try:
        store.download(uri, path)
    except TrainerError as error:
        if error.exit_code is ExitCode.INPUT_MISSING:
            raise BrokenCheckpoint(str(error)) from error
        raise
    if digest_of(path) != recorded:
        raise BrokenCheckpoint(f"{uri} is not what was saved")


def _newest_first(store: Store, layout: RunLayout) -> Iterator[_Stored]:
    """Return all checkpoints, also incomplete ones, newest first.

    The claim counts before the step: a process starts from the newest usable checkpoint before it, so its own are
    newer than all of them, also when it had to go back behind a broken one.
    """
    complete: dict[tuple[int, int], bool] = {}
    for info in store.list(layout.checkpoints):
        claim, _, rest = info.uri.removeprefix(f"{layout.checkpoints}/").partition("/")
        step, _, name = rest.partition("/")
        number = step.removeprefix("step-")
        if claim.isdigit() and number.isdigit():
            key = (int(claim), int(number))
            complete[key] = complete.get(key, False) or name == MANIFEST
    for key in sorted(complete, reverse=True):
        yield _Stored(layout.checkpoint(*key), *key, complete[key])


def _link(folder: Path, scratch: Path) -> Path:
    """Copy a folder by hard links, so that deleting the original does no harm; really where links fail."""
    scratch.mkdir(parents=True, exist_ok=True)
    snapshot = Path(tempfile.mkdtemp(prefix="upload-", dir=scratch))

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    shutil.copytree(folder, snapshot, copy_function=link, dirs_exist_ok=True)
    return snapshot
