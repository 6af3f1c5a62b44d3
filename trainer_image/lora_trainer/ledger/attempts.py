"""What each process did for a run, kept below its own claim: for the count of lost steps, and for the report."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from lora_contract.base import StatusModel
from lora_contract.layout import RunLayout
from lora_contract.times import format_time, parse_time
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import Claim
from lora_trainer.store import Store

log = logging.getLogger(__name__)

_NAME = "attempt.json"
#: Least seconds between two writes: this much of the truth a killed process may take with it.
INTERVAL = 5.0
RUNNING = "running"


class AttemptRecord(StatusModel):
    """One process that trained."""

    claim: int = Field(description="Its claim.")
    start_time: str = Field(description="When it began, RFC 3339.")
    last_time: str = Field(description="When it last wrote this, RFC 3339.")
    from_step: int = Field(0, description="Step of the checkpoint it started from.")
    last_step: int = Field(0, description="Last step known to be done.")
    outcome: str = Field(RUNNING, description="How it ended; `running` for ever: it was killed.")


class AttemptLog:
    """Writes the record of this process from a thread."""

    def __init__(self, store: Store, layout: RunLayout, claim: Claim) -> None:
        """Nothing is written before `begin`."""
        now = _now()
        self.record = AttemptRecord(claim=claim.number, start_time=now, last_time=now)
        self._store = store
        self._claim = claim
        self._uri = f"{layout.checkpoints}/{claim.number:08d}/{_NAME}"
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, from_step: int) -> None:
        """Note that training starts after `from_step`."""
        self._update(from_step=from_step, last_step=from_step)
        self._write()
        self._thread = threading.Thread(target=self._work, name="attempt", daemon=True)
        self._thread.start()

    def step(self, number: int) -> None:
        """Note that a step is done; it is written soon."""
        self._update(last_step=number)
        self._changed.set()

    def end(self, outcome: str) -> None:
        """Note that the process stops training. Nothing is written afterwards."""
        self._stop.set()
        self._changed.set()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        self._update(outcome=outcome)
        self._write()

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update={"last_time": _now(), **changes})

    def _work(self) -> None:
        while not self._stop.is_set():
            self._changed.wait()
            self._changed.clear()
            if not self._stop.is_set():
                self._write()
            self._stop.wait(INTERVAL)

    def _write(self) -> None:
        try:
            # One that was fenced off must leave nothing behind in a run that others finished.
            self._claim.check()
            content = self.record.model_dump_json(by_alias=True).encode()
            self._store.write(self._uri, content, content_type="application/json")
        except TrainerError as error:
            log.warning("the record of this attempt was not written: %s", error)


def earlier(store: Store, layout: RunLayout) -> list[AttemptRecord]:
    """Read the records of all processes so far, by claim."""
    records = []
    for info in store.list(layout.checkpoints):
        if info.uri.endswith(f"/{_NAME}"):
            try:
                records.append(AttemptRecord.model_validate_json(store.read(info.uri)))
            except ValidationError:
                log.warning("%s cannot be read", info.uri)
    return sorted(records, key=lambda record: record.claim)


def lost_steps(records: list[AttemptRecord], from_step: int) -> int:
    """Count the steps that the last process did beyond the checkpoint that this one starts from."""
    return max(0, records[-1].last_step - from_step) if records else 0


def trained_seconds(records: Iterable[AttemptRecord]) -> float:
    """Count the seconds that all attempts of a run took together; what lies between them counts for nothing."""
    spans = ((parse_time(each.start_time), parse_time(each.last_time)) for each in records)
    return sum((end - begin).total_seconds() for begin, end in spans if begin and end)


def _now() -> str:
    return format_time(datetime.now(UTC))
