"""Which bytes: sha256 and size of files, as manifests record them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field

from lora_contract.base import StatusModel
from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError


class FileDigest(StatusModel):
    """What a manifest says of one file."""

    sha256: str = Field(description="sha256 of the content, 64 hexadecimal digits.", pattern=r"^[0-9a-f]{64}$")
    size: int = Field(description="Size in bytes.", ge=0)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified_sha256(path: Path, what: str, *, size: int | None, sha256: str | None, param: str | None = None) -> str:
    """Return the sha256 of a fetched file, which messages call `what`, if its source's `size` and `sha256` hold.

    None: the source does not state it.

    Raises:
        TrainerError: the file is not what its source states.
    """
    found = sha256_of(path)
    if (size is not None and path.stat().st_size != size) or (sha256 is not None and found != sha256):
        raise TrainerError(
            ExitCode.UNAVAILABLE,
            f"{what} arrived damaged: its size or sha256 is not what its source states",
            param=param,
            hint="a new pod tries again; upload the file again if this message is there after the retries",
        )
    return found


def digest_of(path: Path) -> FileDigest:
    """Return sha256 and size of a file."""
    return FileDigest(sha256=sha256_of(path), size=path.stat().st_size)


def digests_below(folder: Path) -> dict[str, FileDigest]:
    """Digest every file below a folder, by its relative path with slashes, sorted by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in files}


def is_plain_name(name: str) -> bool:
    """Tell whether a relative path stays below its folder: no empty, `.` or `..` segment, not absolute."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and "\\" not in name and "\0" not in name
