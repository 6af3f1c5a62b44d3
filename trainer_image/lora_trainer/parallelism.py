"""How many pods a run may have: one, in this version."""

from __future__ import annotations

from lora_contract.spec import ComputeSpec
from lora_trainer.errors import unsupported


def check(compute: ComputeSpec) -> None:
    """Refuse what this version cannot do; asked before a GPU is, and again by whoever trains.

    Raises:
        TrainerError: 78, several nodes.
    """
    if compute.nodes > 1:
        raise unsupported(
            "training on several nodes is not supported yet",
            param="spec.compute.nodes",
            hint="Set compute.nodes: 1; effectiveBatchSize is reached by accumulation.",
        )
