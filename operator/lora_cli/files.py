"""Manifests in files, judged without a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lora_contract.manifest import is_ours, read_manifest
from lora_contract.yaml_documents import DocumentError, read_documents


class Verdict(NamedTuple):
    """What is to be said of a file or of one of its documents, and whether the cluster would refuse it."""

    file: str
    about: str
    faults: tuple[str, ...]


def judge(path: Path) -> Iterator[Verdict]:
    """Judge each LoRAFineTune and LoRASweep of a file, or of the standard input where it is `-`."""
    file = "the standard input" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        documents = read_documents(text)
    except OSError as error:
        yield Verdict(file, "", (f"cannot be read: {error.strerror}",))
        return
    except UnicodeDecodeError:
        yield Verdict(file, "", ("is not UTF-8 text",))
        return
    except DocumentError as error:
        yield Verdict(file, "", error.faults)
        return
    ours = [document for document in documents if is_ours(document)]
    if not ours:
        yield Verdict(file, "", ("has no LoRAFineTune and no LoRASweep",))
    for document in ours:
        metadata = document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        about = f"{document.get('kind')} {name}"
        try:
            read_manifest(document, cluster=True)
        except DocumentError as error:
            yield Verdict(file, about, error.faults)
        else:
            yield Verdict(file, about, ())
