"""How many processes a run may have: one, in this version."""

from __future__ import annotations

from lora_contract.spec import ComputeSpec
from lora_trainer.errors import unsupported


def check(compute: ComputeSpec) -> None:
    """Refuse what this version cannot do; asked before a GPU is, and again by whoever trains.

    Raises:
        TrainerError: 78, several GPUs or nodes.
    """
    for field, value in (("nodes", compute.nodes), ("gpus", compute.gpus)):
        if value > 1:
            raise unsupported(
                f"training on several {field} is not supported yet",
                param=f"spec.compute.{field}",
                hint="Set compute.gpus: 1 and compute.nodes: 1; effectiveBatchSize is reached by accumulation.",
            )
