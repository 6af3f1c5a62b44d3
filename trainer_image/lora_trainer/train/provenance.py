"""What manifest.json says of where an adapter comes from, and what it is worth."""

from __future__ import annotations

from lora_contract.identity import spec_hash
from lora_contract.order import TrainOrder
from lora_contract.serving import ServingStatus
from lora_contract.status import MetricsStatus
from lora_trainer.publish import Provenance
from lora_trainer.train.documents import now
from lora_trainer.train.inputs import Inputs


def provenance(
    order: TrainOrder,
    inputs: Inputs,
    metrics: MetricsStatus,
    *,
    gate_failed: str | None,
    warnings: list[str],
    serving: list[ServingStatus],
) -> Provenance:
    """Say in the manifest where the adapter comes from, what it is worth and who serves it."""
    method = order.spec.method
    return Provenance(
        run_id=order.run_id,
        spec_hash=spec_hash(order.spec),
        base_model=order.spec.model.id,
        model_commit=inputs.model.commit,
        dataset_digest=order.plan.dataset_digest or "",
        template_date=order.plan.template_date,
        required_max_lora_rank=order.spec.lora.serving_rank,
        serving=serving,
        method=None if method is None else method.model_dump(mode="json", by_alias=True, exclude_none=True),
        metrics=metrics,
        gate_failed=gate_failed,
        warnings=warnings,
        created_at=now(),
        ancestors=None if inputs.parent is None else inputs.parent.lineage,
    )
