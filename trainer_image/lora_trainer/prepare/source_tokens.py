"""Tokens of a source, kept for the next run that reads the same source with the same model and template.

They lie below `_work/tokens/` of the run's own output, one file for each state of a source, named by what its tokens
follow from; the name of the file has the sha256 of its content, which is checked. Whoever may write there may write the
adapter itself. The newest files stay.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from lora_contract import identity, spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import source_tokens
from lora_contract.version import __version__
from lora_trainer.data.profile import FileProfile
from lora_trainer.data.requests import TokensFile
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError
from lora_trainer.prepare.template_date import today
from lora_trainer.store import about
from lora_trainer.store.protocol import ObjectInfo, Store

log = logging.getLogger(__name__)

#: What is kept below one output, in files and in bytes together; the oldest go first.
MOST_FILES = 64
MOST_BYTES = 16 << 30
#: A larger file is neither kept nor read, bytes.
LARGEST_FILE = 2 << 30
#: Raised when other tokens would be made of the same rows, or the files are written otherwise.
_VERSION = 1
_NAME = re.compile(r"\d{8}-(?P<sha256>[0-9a-f]{64})\.parquet")


def keys(
    spec: LoRAFineTuneSpec,
    files: Sequence[FileProfile],
    *,
    model: str,
    template: str | None,
    template_date: date | None,
) -> dict[str, str]:
    """Name each source of dataset.sources by everything that its tokens follow from; none where there are no sources.

    `model` is equal for equal files of the model, whatever revision is stated; `template` is the sha256 of the chat
    template.
    """
    if spec.method is not None:
        return {}
    named = {}
    for source in spec.dataset.data_sources:
        read = source.settings.model_dump(
            mode="json", by_alias=True, include={"format", "columns", "system_prompt", "ignore_keys"}
        )
        follows_from = {
            "version": [_VERSION, identity.RECIPE_VERSION, __version__],
            "files": [[file.split, file.sha256] for file in files if file.source == source.name],
            "read": read,
            "model": model,
            "template": template,
            "date": None if template_date is None else template_date.isoformat(),
            "training": spec.training.model_dump(mode="json", by_alias=True, include={"train_on", "max_length"}),
        }
        if source.name:
            named[source.name] = identity.digest(follows_from)
    return named


def fetch(store: Store, output: str, named: Mapping[str, str], into: Path) -> list[TokensFile]:
    """Bring what was kept of each source here, and say where its tokens are to be written.

    Raises:
        TrainerError: the output cannot be read.
    """
    files = []
    for number, (source, key) in enumerate(named.items()):
        with about(spec_paths.OUTPUT_URI):
            kept = [info for info in store.list(source_tokens(output, key)) if _is_kept(info)]
            found = _downloaded(store, kept[-1], into / f"{number:02d}-found.parquet") if kept else None
        written = str(into / f"{number:02d}-written.parquet")
        files.append(TokensFile(source=source, found=None if found is None else str(found), into=written))
    return files


def _is_kept(info: ObjectInfo) -> bool:
    return _NAME.fullmatch(_name(info)) is not None and info.size <= LARGEST_FILE


def _name(info: ObjectInfo) -> str:
    return info.uri.rpartition("/")[2]


def _downloaded(store: Store, info: ObjectInfo, path: Path) -> Path | None:
    """Download a file; None: it is gone, or is not what its name says."""
    try:
        store.download(info.uri, path)
    except TrainerError as error:
        if error.exit_code is not ExitCode.INPUT_MISSING:
            raise
        return None  # another run deleted it meanwhile
    named = _NAME.fullmatch(_name(info))
    if named is None or sha256_of(path) != named["sha256"]:
        log.warning("%s is damaged; the rows are tokenised anew", info.uri)
        return None
    return path


def keep(store: Store, output: str, named: Mapping[str, str], files: Sequence[TokensFile]) -> None:
    """Upload the files that were written, and delete the oldest of what is too much.

    Raises:
        TrainerError: the output cannot be written.
    """
    new = {file.source: path for file in files if (path := Path(file.into)).exists()}
    new = {source: path for source, path in new.items() if path.stat().st_size <= LARGEST_FILE}
    with about(spec_paths.OUTPUT_URI):
        for source, path in new.items():
            sha256 = sha256_of(path)
            folder = source_tokens(output, named[source])
            before = list(store.list(folder))
            address = f"{folder}/{today():%Y%m%d}-{sha256}.parquet"
            store.upload(path, address, sha256=sha256)
            for info in before:
                if info.uri != address:
                    store.delete(info.uri)
        if new:
            _delete_oldest(store, output)


def _delete_oldest(store: Store, output: str) -> None:
    kept = sorted(store.list(source_tokens(output)), key=_name, reverse=True)
    size = 0
    for number, info in enumerate(kept):
        size += info.size
        if number >= MOST_FILES or size > MOST_BYTES:
            store.delete(info.uri)
