"""What is found of raw rows while they are checked: what is left out, and what a user should know of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.finetune.dataset import DatasetSpec
from lora_contract.outside import shorten
from lora_trainer.data.profile import MAX_BAD_ROW_EXAMPLES, MAX_SAMPLES, Turn
from lora_trainer.data.rows import BadRow, Place
from lora_trainer.errors import bad_data

#: What is kept of names and notes, which may be as many as rows, and as long.
_MOST_NOTES, _LONGEST_COLUMN, _LONGEST_NOTE, _LONGEST_EXAMPLE = 100, 100, 200, 500
_MOST_CONTRADICTIONS = 3


@dataclass
class Findings:
    """What was found so far; `dataset` says which bad rows may be left out."""

    dataset: DatasetSpec
    rows_read: dict[str, int] = field(default_factory=dict)
    ignored_columns: dict[str, None] = field(default_factory=dict)
    #: Rows left out because they repeat another, by the name of their source.
    duplicates: Counter[str] = field(default_factory=Counter)
    empty_documents: int = 0
    #: Rows that prefer what another one rejects, and the places of the first.
    contradictions: int = 0
    contradiction_examples: list[str] = field(default_factory=list)
    #: Rows whose texts have marks of other chat templates, and the first of them with its place.
    foreign_marks: int = 0
    first_foreign_mark: str = ""
    bad_rows: int = 0
    bad_examples: list[str] = field(default_factory=list)
    samples: list[list[Turn]] = field(default_factory=list)
    #: What of the schemas of tools is not read as it is written.
    schema_notes: dict[str, None] = field(default_factory=dict)

    @property
    def wants_samples(self) -> bool:
        """Whether there are fewer samples than are shown."""
        return len(self.samples) < MAX_SAMPLES

    def ignore(self, column: str) -> None:
        """Remember a column that is not read."""
        _keep(self.ignored_columns, [column[:_LONGEST_COLUMN]])

    def note(self, of_schemas: Iterable[str]) -> None:
        """Remember what of schemas is not read as it is written."""
        _keep(self.schema_notes, (shorten(note, _LONGEST_NOTE) for note in of_schemas))

    def contradicts(self, place: Place, earlier: Place) -> None:
        """Count a row that says the opposite of an earlier one."""
        self.contradictions += 1
        if len(self.contradiction_examples) < _MOST_CONTRADICTIONS:
            self.contradiction_examples.append(shorten(f"{place.short} and {earlier.short}", _LONGEST_EXAMPLE))

    def marked(self, place: Place, mark: str) -> None:
        """Count a row whose texts have a mark of another chat template."""
        self.foreign_marks += 1
        self.first_foreign_mark = self.first_foreign_mark or shorten(f"{mark!r} at {place.short}", _LONGEST_EXAMPLE)

    def bad(self, place: Place, error: BadRow, *, any_good: bool) -> None:
        """Leave a bad row out and count it, where that is allowed.

        Raises:
            TrainerError: it is not, or there were too many.
        """
        message = f"{place}: {error.problem}"
        if self.dataset.on_bad_rows == "Fail":
            # Before the first good row nothing shows that not all of them are bad.
            skip = ", or set dataset.onBadRows: Skip to leave bad rows out" if any_good else ""
            raise bad_data(message, param=place.short, hint=error.hint or f"correct the row{skip}")
        self.bad_rows += 1
        if len(self.bad_examples) < MAX_BAD_ROW_EXAMPLES:
            self.bad_examples.append(shorten(message, _LONGEST_EXAMPLE))
        if self.bad_rows > self.dataset.max_bad_rows:
            found = "more than" if any_good else "no good row, and more than"
            allowed = counted(self.dataset.max_bad_rows, "bad row")
            raise bad_data(
                f"{found} {allowed} (dataset.maxBadRows); the first: {self.bad_examples[0]}",
                param=spec_paths.DATASET_MAX_BAD_ROWS,
                hint="correct the rows" + (", or raise dataset.maxBadRows" if any_good else ""),
            )


def _keep(kept: dict[str, None], found: Iterable[str]) -> None:
    """Keep what is found in its order, once, up to a bound."""
    for each in found:
        if len(kept) < _MOST_NOTES:
            kept.setdefault(each)
