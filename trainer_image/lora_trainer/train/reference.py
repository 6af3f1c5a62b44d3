"""What the reference says of the rows of a run: asked for once, before training, by all processes together.

The reference is the base model with the adapter switched off, or the adapter that the run goes on from. What it says
depends on the rows, the model and the precision, on no setting of the method: so resumed runs, trials of a sweep and
later runs on the same rows read it from the store. Every process uses the values that lie there, to the bit, also where
it computed some itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.identity import digest
from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_trainer.batches.compared_rows import ComparedRows
from lora_trainer.data import prepared
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.evaluation import log_probabilities
from lora_trainer.ledger import references
from lora_trainer.ledger.references import LogProbabilities, StoredReference, UnfitReference
from lora_trainer.store import Store, about
from lora_trainer.train import parent_weights
from lora_trainer.train.inputs import ROWS, Inputs, Parent
from lora_trainer.train.session import Session

log = logging.getLogger(__name__)

#: Changes when the same model and rows would give other values.
_VERSION = 1
#: Percent after which it is told again how far the reference was asked.
_TOLD_EVERY = 5


def ask(
    session: Session,
    order: TrainOrder,
    inputs: Inputs,
    *,
    store: Store,
    layout: RunLayout,
    folder: Path,
    alive: Callable[[], None],
) -> None:
    """Let the rows know what the reference says of them, where the objective compares adapter and reference.

    `folder` is where `inputs.fetch` left the rows, shared by the processes of a pod. `alive` is called before every
    batch.

    Raises:
        TrainerError: 69, pods of the run do not see the same values; the next try will.
    """
    splits = {prepared.TRAIN: inputs.train, prepared.VALIDATION: inputs.validation, prepared.TEST: inputs.test}
    for name, rows in splits.items():
        if not isinstance(rows, ComparedRows):
            continue
        file = folder / ROWS / name
        hashed = partial(_key, session, order, inputs, rows, file)
        key = session.group.from_leader(f"reference of {name}: key", str, hashed)
        stored = StoredReference(store, layout.reference(key), len(rows))
        question = _Question(session, inputs.parent, rows, stored, file.with_suffix(".reference.safetensors"), alive)
        with about(spec_paths.OUTPUT_URI):
            rows.reference_log_probabilities = question.answer()


def _key(session: Session, order: TrainOrder, inputs: Inputs, rows: ComparedRows, file: Path) -> str:
    """Hash everything that the values depend on."""
    hardware = session.hardware
    return digest(
        {
            "version": _VERSION,
            "rows": sha256_of(file),
            "kind": type(rows).__name__,
            "only": rows.only,
            "model": inputs.model.content,
            "quantization": order.spec.quantization.model_dump(mode="json"),
            "parent": None if inputs.parent is None else inputs.parent.lineage[0].manifest_digest,
            "precision": f"{hardware.device.type} {hardware.dtype} {hardware.autocast}",
        }
    )


@dataclass(frozen=True)
class _Question:
    """The question about the rows of one file; `path`: where the answer lies on this machine."""

    session: Session
    parent: Parent | None
    rows: ComparedRows
    stored: StoredReference
    path: Path
    alive: Callable[[], None]

    def answer(self) -> LogProbabilities:
        """Read the answer from the store, or find it, in all processes of the run."""
        group, name = self.session.group, self.path.name
        known = group.from_leader(f"{name}: known", str | None, lambda: self.stored.find(self.path))
        if known is None:
            values = self._asked()
            known = group.from_leader(f"{name}: new", str, lambda: self._keep(values))
        else:
            log.info("what the reference says of %d rows of %s is known", len(self.rows), name.partition(".")[0])
        group.from_pod_leader(f"{name}: here", bool, lambda: self._bring(known))
        return references.read(self.path, len(self.rows))

    def _asked(self) -> LogProbabilities:
        """Ask the reference, each process about its share of the sequences."""
        session, rows, total = self.session, self.rows, 2 * len(self.rows)
        log.info("the reference is asked about %d rows", len(rows))
        told = 0

        def asked(sequences: int) -> None:
            nonlocal told
            self.alive()
            share = 100 * sequences * session.group.size // total
            if share >= told + _TOLD_EVERY:
                told = share
                session.progress.asking_reference(min(share, 100))

        model, parent = session.adapted.model, self.parent
        with model.disable_adapter() if parent is None else parent_weights.replaced(model, parent.weights):
            found = log_probabilities.of_sequences(
                session.forward_pass,
                model,
                rows.sequence_lengths.ravel(),
                rows.sequence,
                before_batch=asked,
                group=session.group,
            )
        return found.numpy().reshape(-1, 2)

    def _keep(self, values: LogProbabilities) -> str:
        if not np.isfinite(values).all():
            field = spec_paths.MODEL_ID if self.parent is None else spec_paths.FROM
            raise bad_config(
                "what the reference model says of the rows is not finite: its weights are damaged, or too large for"
                f" {self.session.hardware.dtype}",
                param=field,
                hint="check the files of the model and of the adapter in from",
            )
        references.write(values, self.path)
        return self.stored.keep(self.path)

    def _bring(self, sha256: str) -> bool:
        if not self.path.is_file() or sha256_of(self.path) != sha256:
            try:
                self.stored.bring(sha256, self.path)
            except UnfitReference as error:
                raise TrainerError(
                    ExitCode.UNAVAILABLE, f"the pods of the run do not see the same answers of the reference: {error}"
                ) from error
        return True
