"""Data files: what their names say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lora_trainer.errors import bad_data

Kind = Literal["jsonl", "json", "csv", "parquet"]
Compression = Literal["", "gz", "zst"]

_NAME = re.compile(r"\.(?P<kind>jsonl|ndjson|json|csv|parquet)(?:\.(?P<compression>gz|zst|zstd))?$", re.IGNORECASE)
_KINDS: dict[str, Kind] = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "parquet": "parquet"}
_COMPRESSIONS: dict[str, Compression] = {"": "", "gz": "gz", "zst": "zst", "zstd": "zst"}


@dataclass(frozen=True)
class DataFile:
    """One file of the dataset on local disk; `name` is what messages call it."""

    name: str
    path: Path
    kind: Kind
    compression: Compression


def classify(name: str) -> tuple[Kind, Compression]:
    """What a file holds, by its name.

    Raises:
        TrainerError: the name has none of the known extensions.
    """
    match = _NAME.search(name)
    if match is None:
        raise bad_data(
            f"{name} is not a data file by its name",
            param=name,
            hint="name it .jsonl, .json, .csv or .parquet, with .gz or .zst behind it where it is compressed",
        )
    return _KINDS[match["kind"].lower()], _COMPRESSIONS[(match["compression"] or "").lower()]
