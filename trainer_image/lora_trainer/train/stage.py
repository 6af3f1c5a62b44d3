"""The train stage: from prepared rows to a published adapter, resumable at every step.

One process of a run leads: it holds the claim, writes to the store and speaks for the run. The others follow: they
share its steps and evaluations. Both go through the same three steps: set-up, training, publication.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_contract.report import Report
from lora_trainer import termination
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.ledger.checkpoints import Checkpoint
from lora_trainer.ledger.claims import Claim
from lora_trainer.ledger.group_keys import StoredKeys
from lora_trainer.planning import run_time_records
from lora_trainer.processes.group import Group
from lora_trainer.processes.meeting import join
from lora_trainer.publish import Adopted, adopted_report, publish
from lora_trainer.store import Store
from lora_trainer.train import documents, finish, inputs, learned, reference, reload, session
from lora_trainer.train.lead import Lead, claim_or_adopt, leading
from lora_trainer.train.provenance import provenance
from lora_trainer.train.timing import timing

log = logging.getLogger(__name__)

#: Word of the leader: whether there is anything to train.
_TRAINS = "trains"


def train(order: TrainOrder, store: Store) -> Report:
    """Train, or go on training, and publish; or find that another process did. A follower's report says nothing.

    Raises:
        TrainerError: with the exit code and words for the user.
        StopRequested: SIGTERM came; nothing is lost.
        SmallerMicroBatch: start again with fewer rows in a forward pass.
    """
    layout = RunLayout(order.spec.output.uri, order.run_id)
    group = join(StoredKeys(store, layout))
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="train-", dir=order.scratch, ignore_cleanup_errors=True) as folder:
        claim = claim_or_adopt(order, store, layout) if group.place.is_leader else None
        if not group.from_leader(_TRAINS, bool, lambda: isinstance(claim, Claim)):
            if isinstance(claim, Adopted):
                return adopted_report("train", order.run_id, order.plan, claim)
            return _silent(order)
        part: AbstractContextManager[Lead | None] = nullcontext()
        if isinstance(claim, Claim):
            part = leading(store, claim, Path(folder))
        with part as lead:
            return _Process(order, store, Path(folder), group, lead).run()


def _silent(order: TrainOrder) -> Report:
    return Report(stage="train", run_id=order.run_id)


@dataclass(frozen=True)
class _Ready:
    """What set-up leaves for training and publication."""

    session: session.Session
    inputs: inputs.Inputs
    checkpoint: Checkpoint | None
    watchdog: Watchdog


class _Process:
    """One process of a run that is trained. `lead` is what only the leader has; None: this one follows."""

    def __init__(self, order: TrainOrder, store: Store, folder: Path, group: Group, lead: Lead | None) -> None:
        self._order = order
        self._store = store
        self._layout = RunLayout(order.spec.output.uri, order.run_id)
        self._folder = folder
        self._group = group
        self._lead = lead
        self._watchdog: Watchdog | None = None

    def run(self) -> Report:
        """Go through the three steps."""
        try:
            ready = self._set_up()
            self._train(ready)
            if self._lead is None:
                return self._await_publication()
            report = self._publish(ready, self._lead)
            if report.timing is not None:
                seconds = ready.session.progress.training_seconds
                run_time_records.keep(self._store, self._order, report.timing, seconds)
            return report
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()

    def _set_up(self) -> _Ready:
        """Bring model and rows to this machine, make the session, take over the newest checkpoint."""
        order, group, lead = self._order, self._group, self._lead
        shared = group.place.folder or self._folder
        checkpoint = inputs.checkpoint(self._store, self._layout, shared, group)
        found = inputs.fetch(order, self._store, self._layout, shared, group)
        # Watched only now: a large model takes its time, and each read of store and Hub has a time limit of its own.
        self._watchdog = watchdog = Watchdog(lambda seconds: termination.report_stall(order, seconds))
        duties = None if lead is None else lead.duties
        made = session.build(order, found, self._folder, group=group, watchdog=watchdog, leader=duties)
        reference.ask(made, order, found, store=self._store, layout=self._layout, folder=shared, alive=watchdog.beat)
        from_step = session.resume(made, checkpoint)
        if lead is not None:
            lead.begin(made, from_step)
        return _Ready(made, found, checkpoint, watchdog)

    def _train(self, ready: _Ready) -> None:
        """Train to the end, or to the step in which SIGTERM came; no collectives after it."""
        try:
            session.run(ready.session, self._order, ready.checkpoint)
        finally:
            # Also when SIGTERM came: the process ends only when its checkpoint is in the store.
            if self._lead is not None:
                self._lead.await_checkpoints()
        self._group.leave()

    def _publish(self, ready: _Ready, lead: Lead) -> Report:
        """Measure the best adapter beside the base, write it, load what was written, and publish it."""
        order, made, found, alive = self._order, ready.session, ready.inputs, ready.watchdog.beat
        made.progress.publishing(made.trainer.state)
        finish.take_best(made)
        learned.check(
            made.adapted.model,
            made.forward_pass,
            reload.probe_rows(found),
            training=order.spec.training,
            steps=made.trainer.state.global_step,
            parent=None if found.parent is None else found.parent.weights,
        )
        alive()
        result = finish.compare(made, order, found, alive)
        output = self._folder / "adapter"
        finish.save_adapter(made, order, found.model.commit, output)
        metrics, warnings = documents.metrics_of(made, result), finish.warnings(made, result)
        told = documents.all_warnings(found.profile, warnings)
        serving = finish.serving(made, order, output)
        lead.end("complete")
        documents.write(
            output,
            documents.Account(order, found, made, result, attempts=lead.attempts, warnings=told, serving=serving),
        )
        probe, quantization = reload.probe(made, found), order.spec.quantization
        finish.release(made)
        reload.verify(
            output,
            found.model.path,
            quantization,
            forward_pass=made.forward_pass,
            hardware=made.hardware,
            probe=probe,
        )
        alive()
        origin = provenance(order, found, metrics, gate_failed=result.gate_failed, warnings=told, serving=serving)
        artifact = publish(self._store, self._layout, order.name, output, origin, still_ours=lead.claim.check)
        log.info("published %s", artifact.uri)
        self._group.dismiss()
        return Report(
            stage="train",
            run_id=order.run_id,
            plan=order.plan,
            artifact=artifact,
            metrics=metrics,
            timing=timing(made, lead.lost_steps),
            gate_failed=result.gate_failed,
            warnings=warnings,
        )

    def _await_publication(self) -> Report:
        """Wait until the leader has published, however long that takes: this process's pod must not end before."""
        if self._watchdog is not None:
            self._watchdog.stop()
        self._group.await_dismissal()
        return _silent(self._order)
