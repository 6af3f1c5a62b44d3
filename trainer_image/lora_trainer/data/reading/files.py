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
#: What to do with files of other kinds, by their last extension.
_REMEDIES = {
    "txt": 'write each document as a JSON line, {"text": ...}, and set dataset.format: text',
    "tsv": "write it as CSV, with commas",
    "xls": "save the sheet as CSV",
    "xlsx": "save the sheet as CSV",
    "arrow": "write it as Parquet, for example with Dataset.to_parquet of the library datasets",
    "bz2": "compress it as .gz or .zst instead",
    "xz": "compress it as .gz or .zst instead",
    "zip": "unpack it",
    "tar": "unpack it",
    "tgz": "unpack it",
    "pkl": "write its rows as JSON lines or Parquet",
    "orc": "write it as Parquet",
    "avro": "write it as Parquet",
}


@dataclass(frozen=True)
class DataFile:
    """One file of the dataset on local disk; `name` is what messages call it.

    `source` is the name of the source of dataset.sources that it belongs to; empty: it belongs to none.
    """

    name: str
    path: Path
    kind: Kind
    compression: Compression
    source: str = ""


def is_data_name(name: str) -> bool:
    """Tell whether a name has one of the known extensions."""
    return _NAME.search(name) is not None


def classify(name: str) -> tuple[Kind, Compression]:
    """Tell what a file holds, and how it is compressed, by its name.

    Raises:
        TrainerError: the name has none of the known extensions.
    """
    match = _NAME.search(name)
    if match is None:
        raise bad_data(f"{name} is not a data file by its name", param=name, hint=_remedy(name))
    return _KINDS[match["kind"].lower()], _COMPRESSIONS[(match["compression"] or "").lower()]


def _remedy(name: str) -> str:
    *_, before, last = ("", "", *name.lower().split("."))
    remedy = _REMEDIES.get("tar" if before == "tar" else last)
    readable = (
        "a file that is read is named .jsonl, .json, .csv or .parquet, with .gz or .zst behind it where compressed"
    )
    if remedy is None:
        remedy = (
            "name the file by what it holds, or leave it out of the folder"
            if "." in name.rpartition("/")[2]
            else "give the name its ending, such as .jsonl"
        )
    return f"{remedy}; {readable}"
