"""From data files to tokenised rows on disk, row by row: read, check, drop duplicates, split, tokenise, write."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import objective, prepared
from lora_trainer.data.checker import RowChecker
from lora_trainer.data.guard import Guard, Phase
from lora_trainer.data.kept_rows import KeptRows
from lora_trainer.data.known_tokens import Known
from lora_trainer.data.objective.row_objective import EncodedRow, ReadyRow, RowObjective
from lora_trainer.data.profile import DataProfile, Tally
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.splits import Split
from lora_trainer.data.template import tool_call_form
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.thought import ThoughtForm
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.data.writer import RowWriter
from lora_trainer.errors import bad_config, bad_data

log = logging.getLogger(__name__)

_LOG_SECONDS = 10
_BATCH_ROWS = 512
#: Bounds the memory of one batch: a token of a batch takes some hundred bytes.
_BATCH_CHARACTERS = 1 << 20


def _batches(rows: Iterable[ReadyRow]) -> Iterator[list[ReadyRow]]:
    """Group rows into batches of bounded count and text, each of one source, as another may have another format."""
    batch: list[ReadyRow] = []
    size = 0
    for row in rows:
        if batch and row.source != batch[0].source:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row.content.size
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _tokenised(
    of_rows: RowObjective, batches: Iterable[list[ReadyRow]], guard: Guard
) -> Iterator[tuple[list[ReadyRow], list[EncodedRow]]]:
    """Tokenise batches, and yield each with its tokens.

    While one is tokenised, which needs no Python, the next one is read and rendered.
    """
    pool = ThreadPoolExecutor(1)
    waiting: deque[tuple[list[ReadyRow], Future[list[EncodedRow]]]] = deque()

    def finished() -> tuple[list[ReadyRow], list[EncodedRow]]:
        guard.note(Phase.TOKENISING)
        batch, tokens = waiting.popleft()
        encoded = tokens.result()
        guard.tokenising = bool(waiting)
        guard.note(Phase.READING)
        return batch, encoded

    try:
        for batch in batches:
            waiting.append((batch, pool.submit(lambda rows: list(of_rows.encode(rows)), batch)))
            guard.tokenising = True
            if len(waiting) > 1:
                yield finished()
        while waiting:
            yield finished()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error nobody waits for tokens


class _Pace:
    """Logs how fast rows pass."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._rows = 0
        self._logged = 0.0

    def passed(self, rows: int) -> None:
        """Count rows that are done, and log from time to time how fast they pass."""
        self._rows += rows
        seconds = time.monotonic() - self._started
        if seconds - self._logged >= _LOG_SECONDS:
            self._logged = seconds
            log.info("%d rows tokenised, %.0f rows/s", self._rows, self._rows / seconds)


def run(
    spec: LoRAFineTuneSpec,
    dataset: Dataset,
    template: ChatTemplate,
    into: Path,
    guard: Guard | None = None,
    *,
    known: Known | None = None,
) -> DataProfile:
    """Write train, validation and test rows below `into` (see `prepared`) and tell what they are like.

    Memory stays bounded whatever the size of the files, but for about 250 bytes a row that find duplicates. `guard`
    is told where the work stands and bounds what a row may cost. Where the shares of the split would hold out too many
    or too few rows, which only shows at the end, the rows are read once more. `known` has the tokens of sources that an
    earlier prepare left, and is written for the next one.

    Raises:
        TrainerError: naming file and line of the first bad row, or why no rows are left.
    """
    if spec.dataset.system_prompt:
        _check_system_prompt(spec.dataset.system_prompt, template)
    guard = guard or Guard()
    of_rows = objective.chosen(spec, template, known)
    checker = RowChecker(spec, template, of_rows, guard)
    kept = _write_rows(checker, dataset, into, known or {})
    if bounds := checker.splits.exact_bounds():
        log.info("rows are few: the split is made anew with exact numbers")
        checker = RowChecker(spec, template, of_rows, guard, bounds=bounds)
        kept = _write_rows(checker, dataset, into, known or {})
    _check_rows(spec, checker, kept.tally)
    kept.preferences.check(spec)
    return kept.tally.fill(_profile(checker, kept))


def _profile(checker: RowChecker, kept: KeptRows) -> DataProfile:
    """Tell what the rows are like, but for their counts."""
    spec, template, guard, found = checker.spec, checker.template, checker.guard, checker.found
    return DataProfile(
        format="; ".join(checker.formats),
        ignored_columns=list(found.ignored_columns),
        rows_read=found.rows_read,
        answers=checker.answers,
        duplicate_rows=found.duplicates.total(),
        sources=[kept.tally.of_source(name, found.duplicates[name]) for name in spec.dataset.source_names],
        empty_documents=found.empty_documents,
        contradictions=found.contradictions,
        contradiction_examples=found.contradiction_examples,
        foreign_marks=found.foreign_marks,
        first_foreign_mark=found.first_foreign_mark,
        bad_rows=found.bad_rows,
        bad_row_examples=found.bad_examples,
        schema_notes=list(found.schema_notes),
        stop_tokens=kept.stops.ids(),
        first_example=kept.first_example,
        test_rows_with_tools=kept.test_rows_with_tools,
        thought_form=_thought_form(template, guard) if spec.dataset.is_chat else ThoughtForm(),
        tool_call_form=_tool_call_form(template, guard) if kept.test_rows_with_tools else None,
        preferences=kept.preferences.profile() if spec.method is not None else None,
        samples=found.samples,
    )


def _write_rows(checker: RowChecker, dataset: Dataset, into: Path, known: Known) -> KeptRows:
    """Write all rows that are good and new, tokenised, to the files of their splits below `into`."""
    pace = _Pace()
    with ExitStack() as stack:
        for tokens in known.values():
            stack.enter_context(tokens.written())
        of_rows, with_source = checker.objective, bool(checker.spec.dataset.source_names)
        writers = _writers(stack, into, with_source=with_source, preference=of_rows.preference)
        kept = KeptRows(checker.spec, checker.template, writers, of_rows.longest)
        for batch, rows in _tokenised(of_rows, _batches(checker.rows(dataset)), checker.guard):
            for row in rows:
                if row.bad is not None and row.place is not None:
                    checker.bad(row.place, row.bad)
                else:
                    kept.add(row, batch[0].source)
            pace.passed(len(batch))
            checker.check_effort()
            checker.guard.limit_memory()
    return kept


def _thought_form(template: ChatTemplate, guard: Guard) -> ThoughtForm:
    with guard.cpu_limit():
        return template.thought


def _tool_call_form(template: ChatTemplate, guard: Guard) -> ToolCallForm | None:
    with guard.cpu_limit():
        return tool_call_form.find(template)


def _writers(stack: ExitStack, into: Path, *, with_source: bool, preference: pa.Field | None) -> dict[Split, RowWriter]:
    """Make the writers of the splits, which `stack` closes; what was written before goes."""
    schemas = {"train": prepared.ROW_SCHEMA, "validation": prepared.ROW_SCHEMA, "test": prepared.TEST_SCHEMA}
    names: dict[Split, str] = {"train": prepared.TRAIN, "validation": prepared.VALIDATION, "test": prepared.TEST}
    for name in names.values():
        (into / name).unlink(missing_ok=True)
    return {
        split: stack.enter_context(
            RowWriter(into / name, schemas[split], with_source=with_source, preference=preference)
        )
        for split, name in names.items()
    }


def _check_system_prompt(text: str, template: ChatTemplate) -> None:
    if not template.keeps_system:
        raise bad_config(
            f"dataset.systemPrompt is set, but {template.no_system()}",
            param=spec_paths.DATASET_SYSTEM_PROMPT,
            hint="remove dataset.systemPrompt and write its text into the user turns",
        )
    found = template.special.search(text)
    if found is not None:
        raise bad_config(
            f"dataset.systemPrompt contains the special token {found[0]!r} of {template.model}",
            param=spec_paths.DATASET_SYSTEM_PROMPT,
            hint="remove it",
        )


def _check_rows(spec: LoRAFineTuneSpec, checker: RowChecker, tally: Tally) -> None:
    if tally.rows["train"]:
        return
    found = checker.found
    read = sum(found.rows_read.values())
    data = spec_paths.DATASET_URI if spec.dataset.sources is None else spec_paths.DATASET_SOURCES
    if not read:
        _nothing("the dataset has no rows", data, "put at least one row into it")
    if tally.without_target and not sum(tally.rows.values()):
        _nothing(
            f"training.maxLength {spec.training.max_length} cuts every row before its answer: no row is left",
            spec_paths.TRAINING_MAX_LENGTH,
            f"raise training.maxLength, to {tally.longest_without_target} for all of them, or shorten the prompts",
        )
    if found.empty_documents == read:
        _nothing(
            f"the text of every row is empty: {counted(read, 'row')} read as {'; '.join(checker.formats)}",
            data,
            "write the text into that column, or another column's name into dataset.columns",
        )
    if found.bad_rows == read:
        _nothing(
            f"not one of {counted(read, 'row')} is good; the first: {found.bad_examples[0]}",
            data,
            "correct the rows, or convert them to a form that is read: dataset.onBadRows: Skip leaves nothing of them",
        )
    held_out = tally.rows["validation"] + tally.rows["test"]
    _nothing(
        f"no training rows are left: {counted(read, 'row')} read, {found.bad_rows} bad,"
        f" {found.duplicates.total()} repeated, {tally.without_target} without an answer after cutting,"
        f" {held_out} held out",
        spec_paths.DATASET_SPLIT if held_out else data,
        "add rows, or lower dataset.split.validation and dataset.split.test",
    )


def _nothing(message: str, param: str, hint: str) -> NoReturn:
    raise bad_data(message, param=param, hint=hint)
