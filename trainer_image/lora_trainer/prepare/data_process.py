"""The process that reads data, chat template and tokenizer, seen from `prepare`: started, asked, watched, ended.

What other people wrote may hang, crash or fill the memory of what reads it, in libraries that no exception ends. So
it is read by a process of its own (`python -m lora_trainer.data`), without credentials, and whatever becomes of that
ends here as words with file and row.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Protocol

from pydantic import ValidationError

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import ChatSpec, LoRAFineTuneSpec
from lora_trainer.data.guard import OPERATION_CPU_SECONDS, POSITION_BYTES, Phase, Position, breakdown, read_position
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.requests import (
    MAX_ANSWER_BYTES,
    Answer,
    File,
    ModelRequest,
    Request,
    RowsRequest,
    TokenizerFacts,
    TokensFile,
)
from lora_trainer.errors import TrainerError

log = logging.getLogger(__name__)

#: Without a step forward for so many seconds the process is ended.
STALL_SECONDS = 180.0
#: So many times as long may it take to start, and to come to the first row of a file, which may have to be
#: decompressed whole.
_START_FACTOR = 10
_LOOK_SECONDS = 0.5
_END_SECONDS = 5.0
_HEARTBEAT_SECONDS = 30.0
#: What the process gets of this one's environment: no credentials, no order, no token.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_ENVIRONMENT_PREFIXES = ("PYTHON", "OMP_", "MKL_", "TOKENIZERS_", "RAYON_", "TRANSFORMERS_", "HF_HUB_DISABLE_")


class Process(Protocol):
    """A process with pipes, as `subprocess.Popen` has them."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def kill(self) -> None:
        """End it at once."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code, negative for a signal, once it ended within so many seconds."""


def start(position: Path) -> Process:
    """Start the process; it notes at `position` where it stands."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return subprocess.Popen(
        [sys.executable, "-m", "lora_trainer.data", str(position)],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@contextmanager
def running(folder: Path, *, stall_seconds: float = STALL_SECONDS) -> Iterator[DataProcess]:
    """Run the process until the block ends; `folder` is a place for a small file."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="position-") as position:
        position.write(bytes(POSITION_BYTES))
        position.flush()
        process = start(Path(position.name))
        try:
            yield DataProcess(process, Path(position.name), stall_seconds)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


class DataProcess:
    """Asks the process and watches it while it works. Get it with `running`."""

    def __init__(self, process: Process, position: Path, stall_seconds: float) -> None:
        self._process = process
        self._position = position
        self._stall_seconds = stall_seconds
        self._model = ""
        self._files: list[File] = []

    def check_model(
        self,
        folder: Path,
        model: str,
        embeddings: int,
        chat: ChatSpec = ChatSpec(),  # noqa: B008 - it is immutable
        *,
        renders: bool = True,
    ) -> TokenizerFacts:
        """Load and check tokenizer and chat template of a model with so many embeddings, changed as `chat` says.

        `renders`: whether rows will be rendered with the template; if not, there need be none.

        Raises:
            TrainerError: 78, they cannot be used.
        """
        self._model = model
        request = ModelRequest(model=model, folder=str(folder), embeddings=embeddings, renders=renders, chat=chat)
        answer = self._ask(Request(check_model=request))
        if answer.tokenizer is None:
            raise TrainerError(ExitCode.INTERNAL, "the process that reads the data said nothing of the tokenizer")
        return answer.tokenizer

    def read_rows(
        self,
        spec: LoRAFineTuneSpec,
        dataset: Dataset,
        into: Path,
        today: date | None,
        tokens: Sequence[TokensFile] = (),
    ) -> tuple[DataProfile, Mapping[str, int]]:
        """Tokenise the dataset into the folder `into` with the model that was checked last (see `data.pipeline`).

        Also says of how many rows of each source in `tokens` the tokens were not found there.

        Raises:
            TrainerError: 65, the data cannot be used; 78, template or tokenizer cannot.
        """
        self._files = [
            File(
                part=part,
                name=file.name,
                path=str(file.path),
                kind=file.kind,
                compression=file.compression,
                source=file.source,
            )
            for part, file in dataset.parts()
        ]
        request = RowsRequest(spec=spec, files=self._files, into=str(into), today=today, tokens=list(tokens))
        answer = self._ask(Request(read_rows=request))
        if answer.profile is None:
            raise TrainerError(ExitCode.INTERNAL, "the process that reads the data gave no profile of it")
        return answer.profile, answer.tokens_made

    def _ask(self, request: Request) -> Answer:
        line = request.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        try:
            answer = Answer.model_validate_json(self._line())
        except ValidationError as error:
            raise TrainerError(ExitCode.INTERNAL, "the process that reads the data gave no answer") from error
        if answer.failure is not None:
            raise answer.failure.error()
        return answer

    def _line(self) -> bytes:
        """Read the next line of the process.

        Raises:
            TrainerError: the process ended, or stands still.
        """
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        received = bytearray()
        watch = _Watch(self._stall_seconds)
        while not received.endswith(b"\n"):
            if select.select([stdout], [], [], _LOOK_SECONDS)[0]:
                chunk = os.read(stdout.fileno(), 1 << 16)
                received += chunk
                if not chunk or len(received) > MAX_ANSWER_BYTES:
                    raise self._ended()
            stalled = watch.stalled_for(self._standing())
            if stalled is not None:
                self._process.kill()
                raise self._broken_down(f"was not done after {stalled:.0f} s")
        return bytes(received)

    def _standing(self) -> Position:
        return read_position(self._position.read_bytes())

    def _ended(self) -> TrainerError:
        """Say what became of a process that ended before it answered: crashed libraries end it with a signal."""
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        position = self._standing()
        if code == -signal.SIGKILL:  # not by us: by the kernel, for the memory of the pod or of the machine
            return TrainerError(
                ExitCode.INTERNAL,
                f"the process that reads the data was killed while {position.phase.name.lower()} row {position.row},"
                " as happens where memory runs out",
                hint="Give prepare more memory: the administrator sets trainer.prepare.memory of the chart.",
            )
        if code == -signal.SIGPROF:  # the timer of `Guard.cpu_limit`
            return self._broken_down(f"took more than {OPERATION_CPU_SECONDS:.0f} s of processor time in one operation")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return self._broken_down(f"brought the process down ({how}): it needs too much memory, or is made to do harm")

    def _broken_down(self, problem: str) -> TrainerError:
        return breakdown(self._standing(), [(file.name, file.kind) for file in self._files], self._model, problem)


class _Watch:
    """Sees whether the process moves, and logs that it does."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._last: Position | None = None
        self._moved = self._logged = time.monotonic()

    def stalled_for(self, position: Position) -> float | None:
        """Return the seconds without a step forward, once they are too many."""
        now = time.monotonic()
        if position != self._last:
            self._last, self._moved = position, now
        if now - self._logged >= _HEARTBEAT_SECONDS:
            self._logged = now
            log.info("%s, file %d, row %d", position.phase.name.lower(), position.file + 1, position.row)
        starting = position.phase is Phase.WAITING or (position.phase is Phase.READING and position.row == 0)
        limit = self._stall_seconds * (_START_FACTOR if starting else 1)
        return now - self._moved if now - self._moved > limit else None
