"""Manifests in files, judged without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_contract.manifest import ours_of, read_manifest
from lora_contract.yaml_documents import DocumentError, read_documents


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a file or of one of its documents, and whether the cluster would refuse it.

    `document` is there where it is one of ours that could be read.
    """

    file: str
    about: str
    faults: tuple[str, ...]
    document: Mapping[str, Any] | None = None

    @property
    def where(self) -> str:
        """The file and the document, as they begin a line."""
        return f"{self.file}: {self.about}".rstrip(": ")


_NOTHING = "has no LoRAFineTune and no LoRASweep"
#: Of the files of a folder, those that kubectl applies.
_ENDINGS = (".json", ".yaml", ".yml")


def judge(path: Path) -> Iterator[Verdict]:
    """Judge each LoRAFineTune and LoRASweep of a file, of the files of a folder, or of standard input (`-`)."""
    if not path.is_dir():
        yield from _judge_file(path)
        return
    found = [verdict for file in sorted(path.iterdir()) if file.suffix in _ENDINGS for verdict in _judge_file(file)]
    # A folder has manifests of other kinds too: they are none of our business, unless there is nothing else.
    ours = [verdict for verdict in found if verdict.faults != (_NOTHING,)]
    yield from ours or [Verdict(str(path), "", (_NOTHING,))]


def judge_document(file: str, document: Mapping[str, Any]) -> Verdict:
    """Judge a document that is one of ours."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    about = f"{document.get('kind')} {name or 'without a name'}"
    try:
        read_manifest(document, cluster=True)
    except DocumentError as error:
        return Verdict(file, about, error.faults)
    return Verdict(file, about, (), document)


def _judge_file(path: Path) -> Iterator[Verdict]:
    file = "the standard input" if str(path) == "-" else str(path)
    try:
        documents = read_documents(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        yield Verdict(file, "", (f"cannot be read: {error.strerror}",))
        return
    except DocumentError as error:
        yield Verdict(file, "", error.faults)
        return
    ours = list(ours_of(documents))
    if not ours:
        yield Verdict(file, "", (_NOTHING,))
    for document in ours:
        yield judge_document(file, document)
