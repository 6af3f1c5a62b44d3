"""The files of a dataset by purpose, and the reader for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lora_contract.counts import counted
from lora_trainer.data.reading.compression import most_rows, too_many_rows
from lora_trainer.data.reading.csv_reader import read_csv
from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.reading.json_lines import read_json
from lora_trainer.data.reading.parquet_reader import read_parquet
from lora_trainer.data.rows import RawRow
from lora_trainer.data.splits import Split

#: Most columns of a row.
MAX_COLUMNS = 1000
_READERS = {"jsonl": read_json, "json": read_json, "csv": read_csv, "parquet": read_parquet}


@dataclass(frozen=True)
class Dataset:
    """The files by purpose. `main` is split unless the spec names files for a held-out part."""

    main: Sequence[DataFile]
    validation: Sequence[DataFile] = ()
    test: Sequence[DataFile] = ()

    def parts(self) -> Iterator[tuple[Split | None, DataFile]]:
        """Yield each file with the split that its rows belong to; None: they are split."""
        yield from ((None, file) for file in self.main)
        yield from (("validation", file) for file in self.validation)
        yield from (("test", file) for file in self.test)


def read_rows(file: DataFile) -> Iterator[RawRow]:
    """Read the rows of a file of any kind.

    Raises:
        TrainerError: the file as a whole cannot be read.
    """
    stored = file.path.stat().st_size
    most = most_rows(stored)
    for count, row in enumerate(_READERS[file.kind](file), start=1):
        if count > most:
            raise too_many_rows(f"more than {counted(most, 'row')}", stored, file)
        if row.value is not None and len(row.value) > MAX_COLUMNS:
            yield RawRow(row.place, None, f"has {counted(len(row.value), 'column')}, at most {MAX_COLUMNS} are read")
        else:
            yield row
