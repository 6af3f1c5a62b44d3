"""What the objects of a folder are by their names: rows to train on, rows of a held-out split, or no rows at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lora_trainer.data.splits import Split
from lora_trainer.errors import TrainerError, bad_data

#: How `datasets` of Hugging Face reads a split in a name: one of these words between separators, in a folder's name or
#: in the file's (its `data_files.py`); here for the splits that are held out.
_SPLIT_WORDS: Mapping[str, Split] = {
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_SEPARATORS = re.compile(r"[-._ 0-9]+")
#: What lies beside data in a repository, what `datasets` writes about data, and what Windows writes into folders.
_ABOUT_DATA = re.compile(
    r"^(readme|licen[cs]e|notice|citation|changelog)\b|\.(md|rst|ya?ml|py|crc|md5|sha256|lock)$"
    r"|^(dataset_infos?|dataset_dict|state|croissant)\.json$|^(thumbs\.db|desktop\.ini)$",
    re.IGNORECASE,
)


def is_hidden(name: str) -> bool:
    """Tell whether a name, or that of a folder in it, says that it is not for readers.

    So are the markers and logs of Spark, what file systems keep, and the copies that notebooks make of open files.
    """
    return any(part.startswith(("_", ".")) for part in PurePosixPath(name).parts)


@dataclass(frozen=True)
class Contents:
    """Names below an address: the split of each that is not for training, and those that lie beside the data."""

    held_out: Mapping[str, Split]
    beside: frozenset[str]


def sort(names: Sequence[str], address: str, param: str) -> Contents:
    """Tell data from what lies beside it, and held-out files from those to train on.

    Where every file is held out by its name, none is: somebody who gives their folder means to train on them.

    Raises:
        TrainerError: it is a folder of Arrow files.
    """
    beside = frozenset(name for name in names if is_hidden(name) or _ABOUT_DATA.search(PurePosixPath(name).name))
    data = [name for name in names if name not in beside]
    arrow = next((name for name in data if name.endswith(".arrow")), None)
    if arrow is not None:
        raise _saved_to_disk(arrow, address, param)
    held_out = {name: split for name in data if (split := _split_of(name)) is not None}
    return Contents({} if len(held_out) == len(data) else held_out, beside)


def _split_of(name: str) -> Split | None:
    """Return the held-out split that a name carries, its own part before those of its folders."""
    for part in reversed(PurePosixPath(name.lower()).parts):
        words = _SEPARATORS.split(part)
        if "train" in words or "training" in words:
            return None
        found = next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), None)
        if found is not None:
            return found
    return None


def _saved_to_disk(arrow: str, address: str, param: str) -> TrainerError:
    return bad_data(
        f"{address} is a folder as Dataset.save_to_disk of the library datasets writes it: {arrow} is an Arrow file,"
        " which is not read",
        param=param,
        hint="write the dataset as Parquet: load_from_disk(FOLDER).to_parquet('train.parquet'), and upload that",
    )
