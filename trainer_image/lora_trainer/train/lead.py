"""What only the process does that speaks for a run: it holds the claim, saves checkpoints, tells of steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_trainer import progress, stopping, termination
from lora_trainer.ledger import attempts
from lora_trainer.ledger.attempts import AttemptLog, AttemptRecord
from lora_trainer.ledger.checkpoints import Checkpoints
from lora_trainer.ledger.claims import Claim, await_turn, take_claim
from lora_trainer.processes.restart import SmallerMicroBatch
from lora_trainer.publish import Adopted, adopt, find_published
from lora_trainer.store import Store, about
from lora_trainer.train.session import LeaderDuties, Session
from lora_trainer.train.timing import timing


class Lead:
    """The leader's claim, checkpoints and records."""

    def __init__(self, store: Store, claim: Claim, folder: Path) -> None:
        """`folder` holds checkpoints while they are uploaded."""
        layout = claim.layout
        self.claim = claim
        self.lost_steps = 0
        self._poster = progress.from_environment()
        self._checkpoints = Checkpoints(store, layout, claim, folder / "uploads")
        with about(spec_paths.OUTPUT_URI):
            self._earlier = attempts.earlier(store, layout)
        self._attempt = AttemptLog(store, layout, claim)

    @property
    def duties(self) -> LeaderDuties:
        """What the session of the leader does beside training."""
        return LeaderDuties(self._checkpoints, self._poster, self._attempt.step)

    @property
    def attempts(self) -> list[AttemptRecord]:
        """The records of all processes that trained, this one's last."""
        return [*self._earlier, self._attempt.record]

    def begin(self, session: Session, from_step: int) -> None:
        """Note that training goes on after `from_step`; reports of failures tell the timing from now on."""
        self.lost_steps = attempts.lost_steps(self._earlier, from_step)
        self._attempt.begin(from_step)
        termination.measure_with(lambda: timing(session, self.lost_steps))

    def await_checkpoints(self) -> None:
        """Wait until the last checkpoint is in the store, also when SIGTERM came."""
        with stopping.deferred():
            self._checkpoints.close()

    def end(self, outcome: str) -> None:
        """Note how the process ended; only the first word counts."""
        self._attempt.end(outcome)

    def close(self) -> None:
        """Tell nobody any more."""
        if self._poster is not None:
            self._poster.close()


def claim_or_adopt(order: TrainOrder, store: Store, layout: RunLayout) -> Claim | Adopted:
    """Wait while another run with the same result is at work; then take its adapter, or the claim to train."""
    with about(spec_paths.OUTPUT_URI):
        await_turn(store, layout, order.uid, lambda: find_published(store, layout))
        return adopt(store, layout) or take_claim(store, layout, order.uid)


@contextmanager
def leading(store: Store, claim: Claim, folder: Path) -> Iterator[Lead]:
    """Hold the claim for a while, and leave a record of how it ended."""
    with claim.kept_alive():
        lead, outcome = Lead(store, claim, folder), "failed"
        try:
            yield lead
            outcome = "complete"
        except stopping.StopRequested:
            outcome = "checkpointed"
            raise
        except SmallerMicroBatch:
            outcome = "out of memory"
            raise
        finally:
            lead.end(outcome)
            lead.close()
