"""A published adapter: every byte is held against its manifest, and the manifest against the status of the run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from pydantic import Field, ValidationError

from lora_cli.clean import cleaned
from lora_cli.errors import CommandError
from lora_contract.base import StatusModel
from lora_contract.layout import MANIFEST
from lora_contract.lineage import MOST_ANCESTORS, Ancestor
from lora_contract.outside import salvaged
from lora_contract.status import ArtifactStatus, MetricsStatus, ParentStatus

#: No manifest comes near: the adapter's files are a dozen.
_LARGEST_MANIFEST = 1 << 20
_MOST_FILES = 256
#: A name that is a file of the folder itself, on every system.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Source(Protocol):
    """Where objects are read from."""

    def blocks(self, address: str) -> Iterator[bytes]:
        """Read an object block by block; raises CommandError where it cannot be read."""


class _File(StatusModel):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class _Manifest(StatusModel):
    files: dict[str, _File] = Field(min_length=1, max_length=_MOST_FILES)


class Lineage(StatusModel):
    """What a manifest tells of the chain that its adapter stands in."""

    metrics: MetricsStatus | None = None
    ancestors: list[Ancestor] | None = Field(None, max_length=MOST_ANCESTORS)


@dataclass(frozen=True)
class Adapter:
    """An adapter whose manifest is the one that the run published. `content`: manifest.json as stored."""

    source: Source
    uri: str
    manifest: _Manifest
    content: bytes

    @property
    def lineage(self) -> Lineage:
        """What the manifest says of the adapter's worth, and of those above it; every text is clean."""
        try:
            said = cleaned(json.loads(self.content))
        except (ValueError, RecursionError):
            said = {}
        return salvaged(Lineage, said) or Lineage()

    @property
    def names(self) -> list[str]:
        """Names of its files, the manifest left out."""
        return sorted(self.manifest.files)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        return self.manifest.files[name].size

    def fetch(self, name: str, path: Path) -> bool:
        """Write one file to `path`; whether it had to be read: a file that is the same already stays.

        Raises:
            CommandError: it is not what the manifest says, cannot be read or written, or another file is at `path`.
        """
        if name not in self.manifest.files:
            raise CommandError(f"{self.uri} has no {name}.")
        expected = self.manifest.files[name]
        if path.exists() or path.is_symlink():
            if _is(path, expected):
                return False
            raise CommandError(f"{path} is there already and is another file; move it, or choose another place.")
        with _whole(path) as target:
            _copy(self.source.blocks(f"{self.uri}/{name}"), target, expected, f"{self.uri}/{name}")
        return True

    def read(self, name: str, most: int) -> bytes:
        """Read one file of at most so many bytes.

        Raises:
            CommandError: there is none, it is larger, is not what the manifest says, or cannot be read.
        """
        expected = self.manifest.files.get(name)
        if expected is None:
            raise CommandError(f"{self.uri} has no {name}.")
        if expected.size > most:
            raise CommandError(f"{self.uri}/{name} is larger than {most >> 20} MiB; it is not read.")
        content = BytesIO()
        _copy(self.source.blocks(f"{self.uri}/{name}"), content, expected, f"{self.uri}/{name}")
        return content.getvalue()

    def write_manifest(self, folder: Path) -> None:
        """Write manifest.json, which says that the folder is whole: last.

        Raises:
            CommandError: it cannot be written, or another one is there.
        """
        path = folder / MANIFEST
        if path.exists() and path.read_bytes() != self.content:
            raise CommandError(f"{path} is that of another adapter; choose another folder.")
        if not path.exists():
            with _whole(path) as target:
                target.write(self.content)


def find_adapter(source: Source, artifact: ArtifactStatus | ParentStatus) -> Adapter:
    """Read the manifest of an adapter that a status names.

    Raises:
        CommandError: it cannot be read, is not the one that was published, or names what is no file of the folder.
    """
    address = f"{artifact.uri}/{MANIFEST}"
    content = b""
    for block in source.blocks(address):
        content += block
        if len(content) > _LARGEST_MANIFEST:
            raise CommandError(f"{address} is larger than any manifest; it is not used.")
    if hashlib.sha256(content).hexdigest() != artifact.manifest_digest:
        raise CommandError(
            f"{address} is not the manifest that the run published: its sha256 is not the"
            " manifestDigest in its status. Somebody changed the adapter; do not use it."
        )
    try:
        manifest = _Manifest.model_validate_json(content)
    except ValidationError:
        raise CommandError(f"{address} is no manifest that this version can read.") from None
    if bad := [name for name in manifest.files if not _NAME.fullmatch(name) or name == MANIFEST]:
        raise CommandError(f"{address} names {bad[0]!r}, which is no file of the folder; nothing is written.")
    return Adapter(source, artifact.uri, manifest, content)


def _copy(blocks: Iterable[bytes], target: BinaryIO, expected: _File, address: str) -> None:
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        size += len(block)
        if size > expected.size:
            break
        digest.update(block)
        target.write(block)
    if size != expected.size or digest.hexdigest() != expected.sha256:
        raise CommandError(f"{address} is not what the manifest says (size or sha256 differ); it is not kept.")


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name once it is whole; nothing of it stays where something failed."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with part.open("xb") as target:
            yield target
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def _is(path: Path, expected: _File) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != expected.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
