"""Bounds on what a hostile row, template or tokenizer may cost, inside the process that reads them.

The process that looks after this one sees where it stands (`Position`) in memory that both map, so that it can name
file and row of one that hangs or dies (`lora_trainer.prepare.data_process`).
"""

from __future__ import annotations

import mmap
import resource
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_trainer.data.rows import Place
from lora_trainer.errors import TrainerError, bad_data, unsupported

#: Processor time in which one row is rendered, seconds. A usual row takes less than a thousandth of one.
ROW_CPU_SECONDS = 10.0
#: Processor time after which the kernel ends the process: one operation of C code holds no Python exception.
OPERATION_CPU_SECONDS = 12.0
#: Rendering may take this long whatever the number of rows, seconds; beyond it a row may take the mean below.
ALL_ROWS_SECONDS = 600.0
MEAN_ROW_SECONDS = 0.1
#: Processor time that all rows may take together, whatever is done with them, seconds; and how much more of it for each
#: stored byte of the files. Usual rows take less than a fiftieth of that.
DATA_CPU_SECONDS = 40.0
BYTE_CPU_SECONDS = 2e-4
#: Memory that the rows of one batch may add to what the process holds, bytes.
_BATCH_BYTES = 1 << 30
_PAGE = mmap.PAGESIZE
_STATM_DATA = 5


class Phase(IntEnum):
    """What the process does now."""

    WAITING = 0
    MODEL = 1
    READING = 2
    RENDERING = 3
    TOKENISING = 4


class Position(NamedTuple):
    """Where the process stands. `moves` counts the changes, `file` the files of the dataset from 0."""

    phase: Phase
    file: int
    row: int
    moves: int
    #: Rows before are being tokenised at the same time.
    tokenising: bool = False


_LAYOUT = struct.Struct("<QQQQQ")
POSITION_BYTES = _LAYOUT.size


def read_position(memory: bytes) -> Position:
    """Read the position from the shared memory."""
    phase, file, row, moves, tokenising = _LAYOUT.unpack(memory[:POSITION_BYTES])
    known = Phase(phase) if phase < len(Phase) else Phase.WAITING
    return Position(known, file, row, moves, bool(tokenising))


class CpuTimeExceeded(Exception):  # noqa: N818 - raised by a signal in whatever runs
    """A row took more processor time than one may take."""


class TooSlow(Exception):  # noqa: N818 - becomes a TrainerError with the place of the row
    """Something takes too long for all rows together."""


class _Effort:
    """The time that one kind of work takes for all rows together."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._rows = 0

    @contextmanager
    def of_row(self) -> Iterator[None]:
        """Do the work for one row inside.

        Raises:
            TooSlow: all rows so far took too long, those included in which the work failed.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - started
            self._rows += 1
            if self._seconds > ALL_ROWS_SECONDS and self._seconds > MEAN_ROW_SECONDS * self._rows:
                raise TooSlow(f"took {self._seconds:.0f} s for {counted(self._rows, 'row')}")


class Guard:
    """Notes where the process stands, and bounds what a row may cost where `enforce` was called."""

    def __init__(self, memory: mmap.mmap | bytearray | None = None) -> None:
        """`memory` holds at least `POSITION_BYTES`; without it nobody looks."""
        self._memory = bytearray(POSITION_BYTES) if memory is None else memory
        self._enforced = False
        #: Rows are being tokenised while others are read and rendered.
        self.tokenising = False
        self._file = self._row = self._moves = 0
        self._rendering = _Effort()
        self._checking = _Effort()
        self._began = time.process_time()

    @property
    def position(self) -> Position:
        """Where this process stands."""
        return read_position(bytes(self._memory[:POSITION_BYTES]))

    def enforce(self) -> None:
        """Limit memory and processor time of this process from now on; in its main thread."""
        self._enforced = True
        signal.signal(signal.SIGVTALRM, _raise_exceeded)
        self.limit_memory()

    def note(self, phase: Phase, *, file: int | None = None, row: int | None = None) -> None:
        """Note that the process is at this point; what is not given stays."""
        self._file = self._file if file is None else file
        self._row = self._row if row is None else row
        self._moves += 1
        _LAYOUT.pack_into(self._memory, 0, phase, self._file, self._row, self._moves, self.tokenising)

    def begin_data(self) -> None:
        """Note that the rows begin here."""
        self._began = time.process_time()

    def check_data(self, stored: int) -> None:
        """Bound the processor time that the rows took since `begin_data`, of files of so many stored bytes.

        Raises:
            TooSlow: it is too much.
        """
        seconds = time.process_time() - self._began
        if seconds > DATA_CPU_SECONDS + BYTE_CPU_SECONDS * stored:
            raise TooSlow(f"took {seconds:.0f} s of processor time, too much for {counted(stored, 'byte')} of files")

    def limit_memory(self) -> None:
        """Let the process grow by what a batch of rows may need, or to twice its size: tables of it double."""
        if self._enforced:
            held = int(Path("/proc/self/statm").read_text().split()[_STATM_DATA]) * _PAGE
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            allowed = 2 * held + _BATCH_BYTES
            resource.setrlimit(
                resource.RLIMIT_DATA, (allowed if hard == resource.RLIM_INFINITY else min(allowed, hard), hard)
            )

    @contextmanager
    def cpu_limit(self) -> Iterator[None]:
        """Bound the processor time of what runs inside.

        One operation of C code that goes on beyond the bound cannot be interrupted: the kernel ends the process.

        Raises:
            CpuTimeExceeded: (inside) it takes too long.
        """
        if not self._enforced:
            yield
            return
        # Again each second: code that handles errors of its own may have swallowed the first.
        signal.setitimer(signal.ITIMER_VIRTUAL, ROW_CPU_SECONDS, 1.0)
        signal.setitimer(signal.ITIMER_PROF, OPERATION_CPU_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """Render one row inside.

        Raises:
            CpuTimeExceeded: (inside) the row takes too long.
            TooSlow: all rows so far took too long together.
        """
        self.note(Phase.RENDERING)
        with self._rendering.of_row(), self.cpu_limit():
            yield
        self.note(Phase.READING)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Check the calls of one row against the schemas of its tools inside.

        Raises:
            CpuTimeExceeded: (inside) the row takes too long.
            TooSlow: all rows so far took too long together.
        """
        with self._checking.of_row(), self.cpu_limit():
            yield


def breakdown(position: Position, files: Sequence[tuple[str, str]], model: str, problem: str) -> TrainerError:
    """Make the error for work that could not go on at a position, given name and kind of each file of the dataset."""
    name, kind = files[position.file] if position.file < len(files) else ("the dataset", "")
    place = Place(name, position.row, "line" if kind in ("jsonl", "csv") else "row")
    where, param = (str(place), place.short) if position.row else (name, name)
    beside = ", or tokenising the rows before it," if position.tokenising else ""
    match position.phase:
        case Phase.MODEL:
            message = f"tokenizer or chat template of {model} cannot be used: loading and trying them {problem}"
            return unsupported(message, param=spec_paths.MODEL_ID, hint="use another model, or its original files")
        case Phase.READING:
            return bad_data(
                f"{where}: reading on from here{beside} {problem}", param=param, hint="write the file again"
            )
        case Phase.RENDERING:
            message = f"{where}: rendering the row with the chat template of {model}{beside} {problem}"
        case Phase.TOKENISING:
            message = f"{where}: tokenising the rows up to here with the tokenizer of {model} {problem}"
        case _:
            return TrainerError(ExitCode.INTERNAL, f"the process that reads the data {problem}")
    return unsupported(message, param=param, hint="remove the row, or use another model")


def _raise_exceeded(_number: int, _frame: FrameType | None) -> None:
    raise CpuTimeExceeded(f"takes more than {ROW_CPU_SECONDS:.0f} s of processor time")
