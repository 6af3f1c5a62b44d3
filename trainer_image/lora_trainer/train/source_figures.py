"""What is told of each source of the data: in the status, in the report and in the model card."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lora_contract.order import TrainOrder
from lora_contract.source_status import SourceMetricsStatus
from lora_trainer.objective import Measured
from lora_trainer.report import SourceFigures
from lora_trainer.train.by_source import SourceMeasures
from lora_trainer.train.inputs import Inputs


def metrics(losses: SourceMeasures) -> list[SourceMetricsStatus]:
    """Collect the losses of each source that has held-out rows, by name, as decimal strings."""

    def text(of: Mapping[str, Measured], name: str) -> str | None:
        loss = _loss(of, name)
        return None if loss is None else f"{loss:.6g}"

    return [
        SourceMetricsStatus(
            name=name,
            base_eval_loss=text(losses.base_validation, name),
            eval_loss=text(losses.validation, name),
            base_test_loss=text(losses.base_test, name),
            test_loss=text(losses.test, name),
        )
        for name in sorted({*losses.test, *losses.validation})
    ]


def of_run(order: TrainOrder, inputs: Inputs, losses: SourceMeasures) -> tuple[SourceFigures, ...]:
    """Collect the figures of every source, by name; none where the data are at one address.

    They follow from the rows that were trained on, so they are there also where the plan names no sources.
    """
    mixture = inputs.train.mixture
    if mixture is None:
        return ()
    names = order.spec.dataset.source_names
    rows = np.bincount(mixture.sources, minlength=len(names)).tolist()
    tokens = np.bincount(mixture.sources, weights=inputs.train.lengths, minlength=len(names)).tolist()
    epochs = order.plan.total_steps * order.spec.training.effective_batch_size / max(mixture.count, 1)

    return tuple(
        SourceFigures(
            name=name,
            rows=rows[number],
            tokens=int(tokens[number]),
            epochs=epochs * mixture.epoch_rows[number] / max(rows[number], 1),
            base_validation_loss=_loss(losses.base_validation, name),
            validation_loss=_loss(losses.validation, name),
            base_test_loss=_loss(losses.base_test, name),
            test_loss=_loss(losses.test, name),
        )
        for number, name in enumerate(names)
    )


def _loss(of: Mapping[str, Measured], name: str) -> float | None:
    return of[name].loss if name in of else None
