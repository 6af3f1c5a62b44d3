"""Models that the runs of a namespace share: a folder each, whole or absent, the least recently used leaving first.

Three kinds of file lie in a cache, all by the key of a model: its folder, `KEY.lock` for whoever looks it up, stages
or removes it, and `KEY.users`, on which every process that reads the model holds a shared lock. Advisory locks end
with the process however it ends, so a killed one blocks nobody.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lora_contract import spec_paths
from lora_trainer.errors import bad_config

log = logging.getLogger(__name__)

_RECORD = ".staged.json"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class StagedModel:
    """The folder with the model's files, and its revision: a commit, or the digest of the files.

    `content` is equal for equal files, as far as a listing can tell: a revision that somebody states may be wrong.
    """

    path: Path
    commit: str
    content: str


class ModelCache:
    """The cache below a folder of a volume."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Let the caller alone look a model up, stage or remove it.

        Raises:
            TrainerError: 64, the cache cannot be written.
        """
        handle = self._open(f"{key}.lock")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def find(self, key: str) -> StagedModel | None:
        """Find a whole model, which then cannot be removed before this process ends; asked under `locked`."""
        staged = _recorded(self._root / key)
        if staged is not None:
            self._use(key)
        return staged

    @contextmanager
    def staging(self, key: str) -> Iterator[Path]:
        """Give an empty folder to stage a model in; it becomes the model's where the block ends well."""
        partial = self._root / f"{key}{_PARTIAL}"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self._root / key, ignore_errors=True)
        partial.mkdir()
        yield partial
        partial.rename(self._root / key)
        self._use(key)

    def make_room(self, needed: int) -> None:
        """Free `needed` bytes, or as many as can be: what killed stagings left, then models, the longest unused first.

        A model that is in use stays.
        """
        left = sorted(self._root.glob(f"*{_PARTIAL}"))
        records = sorted(self._root.glob(f"*/{_RECORD}"), key=lambda found: found.stat().st_mtime)
        for folder in (*left, *(found.parent for found in records)):
            if shutil.disk_usage(self._root).free >= needed:
                return
            self._remove(folder)

    def _use(self, key: str) -> None:
        """Hold the model until this process ends: the handle is left open on purpose."""
        fcntl.flock(self._open(f"{key}.users"), fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(self._root / key / _RECORD)

    def _remove(self, folder: Path) -> None:
        """Remove a model that nobody looks up, stages or reads."""
        key = folder.name.removesuffix(_PARTIAL)
        handles = [self._open(f"{key}.{kind}") for kind in ("lock", "users")]
        try:
            for handle in handles:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("the model %s stays in the cache: it is in use", key)
        else:
            log.info("removing the model %s from the cache to make room", key)
            (folder / _RECORD).unlink(missing_ok=True)  # no longer whole, however far the removal comes
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            for handle in handles:
                os.close(handle)

    def _open(self, name: str) -> int:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            return os.open(self._root / name, os.O_CREAT | os.O_RDWR, 0o664)
        except OSError as error:
            raise bad_config(
                f"the model cache cannot be written: {error.strerror}",
                param=spec_paths.MODEL_CACHE,
                hint="use a claim that the pod's user may write",
            ) from error


def record(folder: Path, commit: str) -> None:
    """Write down that a folder holds a whole model, and of which revision."""
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / _RECORD).write_text(json.dumps({"commit": commit, "sizes": sizes}))


def _recorded(folder: Path) -> StagedModel | None:
    """Return the staged model in a folder, if it is whole."""
    try:
        found = json.loads((folder / _RECORD).read_text())
        whole = all((folder / name).stat().st_size == size for name, size in found["sizes"].items())
        return StagedModel(folder, str(found["commit"]), folder.name) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
