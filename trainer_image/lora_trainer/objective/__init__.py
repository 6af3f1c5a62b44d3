"""What a run is trained for: how a batch becomes a loss, which figures are reported, and which gate reads them.

This is the half of the objective that `train` needs; `lora_trainer.data.objective` has the other half, how a row
becomes tokens and targets.
"""

from __future__ import annotations

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.objective.kto import KahnemanTverskyOptimisation
from lora_trainer.objective.objective import Figure, Measured, Objective, Role
from lora_trainer.objective.preference import DirectPreferenceOptimisation
from lora_trainer.objective.supervised import SupervisedFineTuning

__all__ = ["Figure", "Measured", "Objective", "Role", "chosen"]


def chosen(spec: LoRAFineTuneSpec) -> Objective:
    """Make this half of the objective that the spec asks for."""
    method = spec.method
    if method is not None and method.dpo is not None:
        return DirectPreferenceOptimisation(method.dpo)
    if method is not None and method.kto is not None:
        return KahnemanTverskyOptimisation(method.kto)
    return SupervisedFineTuning()
