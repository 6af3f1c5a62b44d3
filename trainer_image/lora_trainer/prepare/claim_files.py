"""Files on a volume of the namespace that prepare sees below `/claims`, read-only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_contract import names
from lora_contract import uri as addresses
from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError, bad_config, bad_data
from lora_trainer.store.protocol import ObjectInfo


class ClaimFiles:
    """The files of one claim by their addresses. No link leads out of it: the pod has other files, credentials too."""

    def __init__(self, address: str, field: str, root: Path = Path(names.CLAIMS_PATH)) -> None:
        """`field` of the spec holds the address; the claim is mounted below `root`.

        Raises:
            TrainerError: it is not mounted here.
        """
        self._claim = addresses.claim_of(address) or ""
        self._field = field
        self._mount = root / self._claim
        if not self._mount.is_dir():
            raise bad_config(
                f"{address} is on a volume of a cluster, and there is none here",
                param=field,
                hint="without a cluster, name the files themselves: file:///folder",
            )

    def info(self, uri: str) -> ObjectInfo | None:
        """Return the file at an address; None: there is none."""
        path = self._path(uri)
        with self._in_words(uri):
            return self._object(path) if path.is_file() else None

    def list(self, uri: str) -> Iterator[ObjectInfo]:
        """Give the files at and below an address, sorted by address; links to folders are not followed."""
        found: list[Path] = []
        with self._in_words(uri):
            if not self._path(uri).exists():
                return
            for folder, _, files in os.walk(self._path(uri), onerror=_raise):
                found += [path for name in files if (path := Path(folder, name)).is_file()]
        for path in sorted(found):
            address = f"{addresses.CLAIM}{self._claim}/{path.relative_to(self._mount)}"
            try:
                addresses.check_data_address(address)
            except ValueError as error:
                hint = "rename the file"
                raise bad_data(
                    f"below {uri} lies a file whose address {error}", param=self._field, hint=hint
                ) from error
            yield self._object(self._path(address))

    def download(self, uri: str, path: Path) -> None:
        """Copy a file to `path`."""
        with self._in_words(uri):
            shutil.copyfile(self._path(uri), path)

    def _path(self, uri: str) -> Path:
        """Return where an address lies in this pod.

        Raises:
            TrainerError: a link leads out of the claim.
        """
        path = self._mount / uri.removeprefix(f"{addresses.CLAIM}{self._claim}").strip("/")
        if not path.resolve().is_relative_to(self._mount.resolve()):
            raise bad_data(
                f"{uri} is or lies behind a link that leads out of the volume",
                param=self._field,
                hint="put the file itself there",
            )
        return path

    def _object(self, path: Path) -> ObjectInfo:
        stat = path.stat()
        address = f"{addresses.CLAIM}{self._claim}/{path.relative_to(self._mount)}"
        return ObjectInfo(address, stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}")

    @contextmanager
    def _in_words(self, uri: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            message = f"there is no {uri} any more"
            raise TrainerError(ExitCode.INPUT_MISSING, message, param=self._field) from error
        except PermissionError as error:
            raise TrainerError(
                ExitCode.ACCESS_DENIED,
                f"no permission for {error.filename or uri} on the claim {self._claim}",
                param=self._field,
                hint=f"let user and group {os.getuid()} read files and folders there",
            ) from error
        except OSError as error:
            message = f"cannot read {uri}: {error.strerror or error}"
            raise TrainerError(ExitCode.INTERNAL, message, param=self._field) from error


def _raise(error: OSError) -> None:
    raise error
