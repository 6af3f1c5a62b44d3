"""LoRASweep: several fine-tuning runs that differ in a few fields, and the best of them."""

from lora_contract.sweep.reasons import SweepReason
from lora_contract.sweep.spec import LoRASweepSpec, MedianStoppingSpec
from lora_contract.sweep.sweep_status import (
    MILESTONES,
    BestStatus,
    LoRASweepStatus,
    MilestoneStatus,
    SweepPhase,
    TrialPhase,
    TrialStatus,
)
from lora_contract.sweep.trials import Trial, trials_of

__all__ = [
    "MILESTONES",
    "BestStatus",
    "LoRASweepSpec",
    "LoRASweepStatus",
    "MedianStoppingSpec",
    "MilestoneStatus",
    "SweepPhase",
    "SweepReason",
    "Trial",
    "TrialPhase",
    "TrialStatus",
    "trials_of",
]
