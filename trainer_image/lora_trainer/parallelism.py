"""How many processes a run may have."""

from __future__ import annotations

from lora_contract.spec import LoRAFineTuneSpec
from lora_trainer.errors import bad_config, unsupported
from lora_trainer.processes.place import processes


def check(spec: LoRAFineTuneSpec) -> None:
    """Refuse what cannot be shared among processes; asked before a GPU is, and again by whoever trains.

    Raises:
        TrainerError: 64, the effective batch cannot be divided; 78, several nodes.
    """
    if spec.compute.nodes > 1:
        raise unsupported(
            "training on several nodes is not supported yet",
            param="spec.compute.nodes",
            hint="Set compute.nodes: 1; effectiveBatchSize is reached by accumulation.",
        )
    effective, count = spec.training.effective_batch_size, processes(spec.compute)
    if effective % count:
        raise bad_config(
            f"an effective batch of {effective} rows cannot be shared equally among {count} GPUs",
            param="spec.training.effectiveBatchSize",
            hint=f"Set training.effectiveBatchSize to a multiple of {count}, for instance"
            f" {-(-effective // count) * count}, or change compute.gpus.",
        )
