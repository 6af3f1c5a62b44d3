"""From data files to tokenised rows on disk, row by row: read, check, drop duplicates, split, tokenise, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

from lora_contract.spec import LoRAFineTuneSpec
from lora_trainer.data import conversation, formats, masking, prepared, splits
from lora_trainer.data.chat_template import ChatTemplate
from lora_trainer.data.files import DataFile
from lora_trainer.data.formats import Shape
from lora_trainer.data.masking import Rendered, TemplateChangesTurns
from lora_trainer.data.parquet_reader import read_parquet
from lora_trainer.data.profile import (
    MAX_BAD_ROW_EXAMPLES,
    MAX_SAMPLES,
    DataProfile,
    Segment,
    Tally,
    Turn,
    sample,
    segments,
)
from lora_trainer.data.readers import read_csv, read_json, read_json_lines
from lora_trainer.data.rows import BadRow, Message, Place, RawRow
from lora_trainer.data.splits import Split
from lora_trainer.data.writer import RowWriter
from lora_trainer.errors import bad_config, bad_data, unsupported

_READERS = {"jsonl": read_json_lines, "json": read_json, "csv": read_csv, "parquet": read_parquet}
log = logging.getLogger(__name__)

_LOG_SECONDS = 10
_BATCH_ROWS = 512
#: Bounds the memory of one batch: a token of a batch takes some hundred bytes.
_BATCH_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """The files by purpose. `main` is split unless the spec names files for a held-out part."""

    main: Sequence[DataFile]
    validation: Sequence[DataFile] = ()
    test: Sequence[DataFile] = ()

    def parts(self) -> Iterator[tuple[Split | None, DataFile]]:
        """All files; None: the rows are split."""
        yield from ((None, file) for file in self.main)
        yield from (("validation", file) for file in self.validation)
        yield from (("test", file) for file in self.test)


def read_rows(file: DataFile) -> Iterator[RawRow]:
    """The rows of a file of any kind.

    Raises:
        TrainerError: the file as a whole cannot be read.
    """
    return _READERS[file.kind](file)


class _Ready(NamedTuple):
    """A row that waits to be tokenised."""

    split: Split
    rendered: Rendered


@dataclass
class _Checker:
    """Turns raw rows into rendered ones and remembers what it saw."""

    spec: LoRAFineTuneSpec
    template: ChatTemplate
    shape: Shape | None = None
    ignored_columns: list[str] = field(default_factory=list)
    duplicates: int = 0
    bad_rows: int = 0
    bad_examples: list[str] = field(default_factory=list)
    samples: list[list[Turn]] = field(default_factory=list)
    rows_read: dict[str, int] = field(default_factory=dict)
    _seen: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _files: list[tuple[Split | None, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        dataset = self.spec.dataset
        self._validation_share = 0.0 if dataset.validation_uri else dataset.split.validation
        self._test_share = 0.0 if dataset.test_uri else dataset.split.test

    def rows(self, dataset: Dataset) -> Iterator[_Ready]:
        """All rows that are good and new, in the order of the files."""
        for part, file in dataset.parts():
            self._files.append((part, file.name))
            self.rows_read[file.name] = 0
            for raw in read_rows(file):
                self.rows_read[file.name] += 1
                try:
                    ready = self._check(raw, part)
                except BadRow as error:
                    self._bad(raw.place, error)
                except TemplateChangesTurns as error:
                    raise unsupported(
                        f"{raw.place}: {error}",
                        param=raw.place.short,
                        hint="give such conversations as one row an answer, or use another model",
                    ) from error
                else:
                    if ready is not None:
                        yield ready

    def _check(self, raw: RawRow, part: Split | None) -> _Ready | None:
        if raw.value is None:
            raise BadRow(raw.problem or "cannot be read")
        if not raw.value:
            raise BadRow("is an empty object")
        if self.shape is None:
            self.shape = formats.detect(list(raw.value), self.spec.dataset)
            self.ignored_columns = [name for name in raw.value if name not in self.shape.columns]
        messages = conversation.check(formats.turns(raw.value, self.shape))
        key = splits.fingerprint(messages)
        if self._repeats(key, raw.place, part):
            self.duplicates += 1
            return None
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(sample(messages))
        if self.spec.dataset.system_prompt and messages[0].role != "system":
            messages = (Message("system", self.spec.dataset.system_prompt), *messages)
        rendered = masking.render(self.template, messages, train_on_all=self.spec.training.train_on == "all")
        self._seen[key] = (len(self._files) - 1, raw.place.number)
        return _Ready(part or self._assign(key), rendered)

    def _assign(self, key: bytes) -> Split:
        seed = self.spec.dataset.split.seed
        return splits.assign(key, seed=seed, validation=self._validation_share, test=self._test_share)

    def _repeats(self, key: bytes, place: Place, part: Split | None) -> bool:
        """Whether the row was seen in the same part; seen in another part it would leak."""
        before = self._seen.get(key)
        if before is None:
            return False
        other, file = self._files[before[0]]
        if other != part:
            first = place._replace(file=file, number=before[1])
            raise BadRow(
                f"repeats the row at {first.short}: a row must not be in two of dataset.uri, validationUri and testUri",
                "remove it from one of them, or the evaluation would be of rows that were trained on",
            )
        return True

    def _bad(self, place: Place, error: BadRow) -> None:
        message = f"{place}: {error.problem}"
        dataset = self.spec.dataset
        if dataset.on_bad_rows == "Fail":
            hint = error.hint or "correct the row, or set dataset.onBadRows: Skip to leave bad rows out"
            raise bad_data(message, param=place.short, hint=hint)
        self.bad_rows += 1
        if len(self.bad_examples) < MAX_BAD_ROW_EXAMPLES:
            self.bad_examples.append(message)
        if self.bad_rows > dataset.max_bad_rows:
            raise bad_data(
                f"more than {dataset.max_bad_rows} bad rows (dataset.maxBadRows); the first: {self.bad_examples[0]}",
                param="spec.dataset.maxBadRows",
                hint="correct the rows, or raise dataset.maxBadRows",
            )


def _batches(rows: Iterable[_Ready]) -> Iterator[list[_Ready]]:
    """Rows in batches of bounded count and text."""
    batch: list[_Ready] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.rendered.text)
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Pace:
    """Logs how fast rows pass."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._rows = 0
        self._logged = 0.0

    def passed(self, rows: int) -> None:
        """So many rows more are done."""
        self._rows += rows
        seconds = time.monotonic() - self._started
        if seconds - self._logged >= _LOG_SECONDS:
            self._logged = seconds
            log.info("%d rows tokenised, %.0f rows/s", self._rows, self._rows / seconds)


def run(spec: LoRAFineTuneSpec, dataset: Dataset, template: ChatTemplate, into: Path) -> DataProfile:
    """Write train, validation and test rows below `into` (see `prepared`) and tell what they are like.

    Memory stays bounded whatever the size of the files, but for about 250 bytes a row that find duplicates.

    Raises:
        TrainerError: naming file and line of the first bad row, or why no rows are left.
    """
    if spec.dataset.system_prompt:
        _check_system_prompt(spec.dataset.system_prompt, template)
    checker = _Checker(spec, template)
    tally = Tally(spec.training.max_length)
    pace = _Pace()
    first_example: list[Segment] = []
    with ExitStack() as stack:
        writers: dict[Split, RowWriter] = {
            "train": stack.enter_context(RowWriter(into / prepared.TRAIN)),
            "validation": stack.enter_context(RowWriter(into / prepared.VALIDATION)),
            "test": stack.enter_context(RowWriter(into / prepared.TEST, prepared.TEST_SCHEMA)),
        }
        for batch in _batches(checker.rows(dataset)):
            encoded = masking.encode(template, [row.rendered for row in batch], spec.training.max_length)
            test_rows = [row.rendered for row in batch if row.split == "test"]
            prompts = iter(masking.encode_prompts(template, test_rows) if test_rows else [])
            for row, tokens in zip(batch, encoded, strict=True):
                prompt = next(prompts) if row.split == "test" else None
                if not tokens.targets.any():
                    tally.without_target += 1
                    continue
                tally.add(row.split, tokens)
                writers[row.split].add(tokens, prompt, row.rendered.reference)
                if not first_example and row.split == "train":
                    first_example = segments(template, tokens)
            pace.passed(len(batch))
    _check_rows(spec, checker, tally)
    profile = DataProfile(
        format=str(checker.shape),
        ignored_columns=checker.ignored_columns,
        rows_read=checker.rows_read,
        duplicate_rows=checker.duplicates,
        bad_rows=checker.bad_rows,
        bad_row_examples=checker.bad_examples,
        first_example=first_example,
        samples=checker.samples,
    )
    return tally.fill(profile)


def _check_system_prompt(text: str, template: ChatTemplate) -> None:
    if not template.keeps_system:
        raise bad_config(
            f"dataset.systemPrompt is set, but {template.no_system()}",
            param="spec.dataset.systemPrompt",
            hint="remove dataset.systemPrompt and write its text into the user turns",
        )
    found = template.special.search(text)
    if found is not None:
        raise bad_config(
            f"dataset.systemPrompt contains the special token {found[0]!r} of {template.model}",
            param="spec.dataset.systemPrompt",
            hint="remove it",
        )


def _check_rows(spec: LoRAFineTuneSpec, checker: _Checker, tally: Tally) -> None:
    if tally.rows["train"]:
        return
    read = sum(checker.rows_read.values())
    if not read:
        _nothing("the dataset has no rows", "spec.dataset.uri", "put at least one row into it")
    if tally.without_target and not sum(tally.rows.values()):
        _nothing(
            f"training.maxLength {spec.training.max_length} cuts every row before its answer: no row is left",
            "spec.training.maxLength",
            "raise training.maxLength, or shorten the prompts",
        )
    held_out = tally.rows["validation"] + tally.rows["test"]
    _nothing(
        f"no training rows are left: {read} rows read, {checker.bad_rows} bad, {checker.duplicates} repeated,"
        f" {tally.without_target} without an answer after cutting, {held_out} held out",
        "spec.dataset.split" if held_out else "spec.dataset.uri",
        "add rows, or lower dataset.split.validation and dataset.split.test",
    )


def _nothing(message: str, param: str, hint: str) -> NoReturn:
    raise bad_data(message, param=param, hint=hint)
