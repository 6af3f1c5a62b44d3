"""The train stage: from prepared rows to a published adapter, resumable at every step."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.identity import spec_hash
from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_contract.report import Report, Timing
from lora_contract.status import ArtifactStatus, MetricsStatus
from lora_trainer import progress, stopping, termination
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.environment import process_age
from lora_trainer.ledger import attempts
from lora_trainer.ledger.attempts import AttemptLog
from lora_trainer.ledger.checkpoints import Checkpoints
from lora_trainer.ledger.claims import Claim, await_turn, take_claim
from lora_trainer.ledger.group_keys import StoredKeys
from lora_trainer.processes.group import Group
from lora_trainer.processes.meeting import join
from lora_trainer.processes.restart import SmallerMicroBatch
from lora_trainer.publish import Provenance, adopt, adopted_report, find_published, publish
from lora_trainer.store import Store, about
from lora_trainer.train import documents, finish, inputs, learned, reload, session
from lora_trainer.train.follow import TRAINS, follow

log = logging.getLogger(__name__)


def train(order: TrainOrder, store: Store) -> Report:
    """Train, or go on training, and publish; or find that another process did.

    Raises:
        TrainerError: with the exit code and words for the user.
        StopRequested: SIGTERM came; nothing is lost.
        SmallerMicroBatch: start again with fewer rows in a forward pass.
    """
    layout = RunLayout(order.spec.output.uri, order.run_id)
    group = join(StoredKeys(store, layout))
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="train-", dir=order.scratch))
    try:
        if not group.place.is_leader:
            return follow(order, store, layout, folder, group)
        return _lead(order, store, layout, folder, group)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lead(order: TrainOrder, store: Store, layout: RunLayout, folder: Path, group: Group) -> Report:
    """Take the claim and train, or find what was published."""
    with about(spec_paths.OUTPUT_URI):
        await_turn(store, layout, order.uid, lambda: find_published(store, layout))
        if found := adopt(store, layout):
            group.from_leader(TRAINS, bool, lambda: False)
            return adopted_report(order, found)
        claim = take_claim(store, layout, order.uid)
    group.from_leader(TRAINS, bool, lambda: True)
    with claim.kept_alive():
        return _Training(order, store, claim, folder, group).run()


class _Training:
    """The work of the process that holds the claim of a run."""

    def __init__(self, order: TrainOrder, store: Store, claim: Claim, folder: Path, group: Group) -> None:
        layout = claim.layout
        self._order = order
        self._store = store
        self._layout = layout
        self._claim = claim
        self._folder = folder
        self._group = group
        self._poster = progress.from_environment()
        self._watchdog = Watchdog(lambda seconds: termination.report_stall(order, seconds))
        self._checkpoints = Checkpoints(store, layout, claim, folder / "uploads")
        with about(spec_paths.OUTPUT_URI):
            self._earlier = attempts.earlier(store, layout)
        self._attempt = AttemptLog(store, layout, claim)

    def run(self) -> Report:
        """All of it, from the files to the report."""
        outcome = "failed"
        try:
            report = self._run()
            outcome = "complete"
        except stopping.StopRequested:
            outcome = "checkpointed"
            raise
        except SmallerMicroBatch:
            outcome = "out of memory"
            raise
        finally:
            if outcome != "complete":
                self._attempt.end(outcome)
            self._watchdog.stop()
            if self._poster is not None:
                self._poster.close()
        return report

    def _run(self) -> Report:
        shared = self._group.place.folder or self._folder
        checkpoint = inputs.checkpoint(self._store, self._layout, shared, self._group)
        found = inputs.fetch(self._order, self._store, self._layout, shared, self._group)
        self._watchdog.beat()
        part = session.LeaderDuties(self._checkpoints, self._poster, self._attempt.step)
        ready = session.build(self._order, found, self._folder, group=self._group, watchdog=self._watchdog, leader=part)
        from_step = session.resume(ready, checkpoint)
        lost = attempts.lost_steps(self._earlier, from_step)
        self._attempt.begin(from_step)
        termination.measure_with(lambda: _timing(ready, lost))
        try:
            session.run(ready, self._order, checkpoint)
        finally:
            # Also when SIGTERM came: the process ends only when its checkpoint is in the store.
            with stopping.deferred():
                self._checkpoints.close()
        self._group.leave()
        return self._finish(ready, found, lost)

    def _finish(self, ready: session.Session, found: inputs.Inputs, lost: int) -> Report:
        ready.progress.publishing(ready.trainer.state)
        finish.take_best(ready)
        self._check_learned(ready, found)
        result = finish.compare(ready, self._order, found, self._watchdog.beat)
        output = self._folder / "adapter"
        finish.save_adapter(ready, self._order, found.model.commit, output)
        metrics, warnings = documents.metrics_of(ready, result), self._warnings(ready, result, output)
        told = documents.all_warnings(found.profile, warnings)
        self._attempt.end("complete")
        account = documents.Account(
            self._order,
            found,
            ready,
            result,
            attempts=[*self._earlier, self._attempt.record],
            warnings=told,
        )
        documents.write(output, account)
        probe, quantization = reload.probe(ready, found), self._order.spec.quantization
        finish.release(ready)
        reload.verify(
            output,
            found.model.path,
            quantization,
            forward_pass=ready.forward_pass,
            hardware=ready.hardware,
            probe=probe,
        )
        self._watchdog.beat()
        artifact = self._publish(output, found, metrics, result.gate_failed, told)
        self._group.dismiss()
        return Report(
            stage="train",
            run_id=self._order.run_id,
            plan=self._order.plan,
            artifact=artifact,
            metrics=metrics,
            timing=_timing(ready, lost),
            gate_failed=result.gate_failed,
            warnings=warnings,
        )

    def _check_learned(self, ready: session.Session, found: inputs.Inputs) -> None:
        """Before anything is measured: an adapter that changes nothing is not published."""
        training, steps = self._order.spec.training, ready.trainer.state.global_step
        learned.check(ready.adapted.model, ready.forward_pass, reload.probe_rows(found), training=training, steps=steps)
        self._watchdog.beat()

    def _warnings(self, ready: session.Session, result: finish.Result, output: Path) -> list[str]:
        """What did not stop the run but has to be known."""
        forgot = result.forgetting.warnings() if result.forgetting else []
        return [*ready.warnings, *forgot, *finish.servability_warnings(ready, output)]

    def _publish(
        self,
        output: Path,
        found: inputs.Inputs,
        metrics: MetricsStatus,
        gate_failed: str | None,
        warnings: list[str],
    ) -> ArtifactStatus:
        """Publish the adapter, while the claim is still held."""
        spec, plan = self._order.spec, self._order.plan
        provenance = Provenance(
            run_id=self._layout.run_id,
            spec_hash=spec_hash(spec),
            base_model=spec.model.id,
            model_commit=found.model.commit,
            dataset_digest=plan.dataset_digest or "",
            template_date=plan.template_date,
            required_max_lora_rank=spec.lora.serving_rank,
            metrics=metrics,
            gate_failed=gate_failed,
            warnings=warnings,
            created_at=documents.now(),
        )
        name, still_ours = self._order.name, self._claim.check
        artifact = publish(self._store, self._layout, name, output, provenance, still_ours=still_ours)
        log.info("published %s", artifact.uri)
        return artifact


def _timing(ready: session.Session, lost: int) -> Timing:
    clock, age, now = ready.progress, process_age(), time.monotonic()
    began, ended = clock.first_step_began, clock.last_step_ended
    return Timing(
        from_step=clock.from_step,
        last_step=clock.last_step,
        lost_steps=lost,
        seconds_before_first_step=round(age if began is None else age - (now - began), 1),
        seconds_after_last_step=round(0 if ended is None else now - ended, 1),
        tokens_per_second=round(clock.tokens_per_second, 1),
    )
