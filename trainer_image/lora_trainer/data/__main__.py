"""The process that reads data, chat template and tokenizer: `python -m lora_trainer.data <position file>`.

All of them come from other people. It is started without credentials, answers requests from its standard input on
its standard output (see `requests`), and ends with that input or with the process that started it.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import mmap
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import ChatSpec
from lora_trainer.data import known_tokens, pipeline, prepared
from lora_trainer.data.guard import POSITION_BYTES, CpuTimeExceeded, Guard, Phase, breakdown
from lora_trainer.data.requests import Answer, Failure, ModelRequest, Request, RowsRequest, TokenizerFacts
from lora_trainer.data.template import template_files
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.errors import TrainerError

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Answer until nothing more is asked."""
    # The kernel kills this process when the one that asks dies, whatever kills that.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A terminal sends Ctrl-C to both processes; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    serve(sys.stdin.buffer, answers, Path(sys.argv[1]))
    return 0


def serve(requests: BinaryIO, answers: BinaryIO, position: Path) -> None:
    """Answer requests, one line each, and note at `position` where the work stands."""
    with position.open("r+b") as file, mmap.mmap(file.fileno(), POSITION_BYTES) as memory:
        worker = _Worker(Guard(memory))
        for line in requests:
            answer = worker.answer(Request.model_validate_json(line))
            answers.write(answer.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
            answers.flush()


class _Worker:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._model = ""
        self._template: ChatTemplate | None = None
        self._files: list[tuple[str, str]] = []
        guard.enforce()

    def answer(self, request: Request) -> Answer:
        """Do what is asked, or say why not."""
        try:
            answer = Answer()
            if request.check_model is not None:
                answer = self._check_model(request.check_model)
            if request.read_rows is not None:
                answer = self._read_rows(request.read_rows)
        except TrainerError as error:
            answer = Answer(failure=Failure.of(error))
        except BaseException as error:  # a panic of the Rust library is no Exception
            answer = Answer(failure=Failure.of(self._explained(error)))
        self._guard.note(Phase.WAITING)
        return answer

    def _check_model(self, request: ModelRequest) -> Answer:
        self._model = request.model
        self._guard.note(Phase.MODEL)
        with self._guard.cpu_limit():
            self._template = template_files.load(
                Path(request.folder), request.model, request.chat, renders=request.renders
            )
            vocabulary = self._template.tokenizer.get_vocab()
        self._guard.limit_memory()
        without = {token: number for token, number in vocabulary.items() if number >= request.embeddings}
        source = self._template.tokenizer.chat_template if request.renders else None
        return Answer(
            tokenizer=TokenizerFacts(
                reads_clock=self._template.reads_clock,
                template=hashlib.sha256(source.encode()).hexdigest() if isinstance(source, str) else None,
                without_embedding=without,
            )
        )

    def _read_rows(self, request: RowsRequest) -> Answer:
        if self._template is None:
            raise RuntimeError("no model was checked before")
        self._files = [(file.name, file.kind) for file in request.files]
        if request.today is not None:
            self._template.today = request.today
        vocabulary = len(self._template.tokenizer)
        known = {}
        for file in request.tokens:
            most = known_tokens.longest(request.spec, file.source)
            known[file.source] = known_tokens.opened(file.found, file.into, vocabulary, most)
        profile = pipeline.run(
            request.spec, request.dataset(), self._template, Path(request.into), self._guard, known=known
        )
        if request.spec.dataset.is_chat and request.spec.chat != ChatSpec():
            path = Path(request.into) / prepared.CHAT_TEMPLATE
            path.write_text(self._template.tokenizer.chat_template, encoding="utf-8")
        return Answer(profile=profile, tokens_made={source: tokens.made for source, tokens in known.items()})

    def _explained(self, error: BaseException) -> TrainerError:
        """Turn an error that nobody raised on purpose into one that says what it means where the work stands."""
        position = self._guard.position
        if isinstance(error, MemoryError):
            problem = "needs more memory than a few rows may take"
        elif isinstance(error, CpuTimeExceeded):
            problem = str(error)
        elif position.phase in (Phase.MODEL, Phase.TOKENISING):  # the Rust library raises bare Exception
            problem = f"failed: {type(error).__name__}: {error}"
        else:
            log.error("this is a defect of the trainer", exc_info=error)
            message = f"internal error: {type(error).__name__}; the log has the details"
            return TrainerError(ExitCode.INTERNAL, message)
        return breakdown(position, self._files, self._model, problem)


if __name__ == "__main__":
    sys.exit(main())
