"""The resources for which there is a CustomResourceDefinition: names, columns, spec and status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lora_contract import names
from lora_contract.base import Rule, SpecModel, StatusModel
from lora_contract.counts import counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.status import LoRAFineTuneStatus
from lora_contract.sweep import LoRASweepSpec, LoRASweepStatus


class Column(NamedTuple):
    """A column of `kubectl get`; a wide one is shown with `-o wide` only."""

    name: str
    type: str
    path: str
    wide: bool = False


@dataclass(frozen=True)
class Resource:
    """One kind of our API group. `made_of_it`: what is named after the object, which limits its name."""

    kind: str
    plural: str
    singular: str
    short_name: str
    description: str
    max_name_length: int
    made_of_it: str
    spec: type[SpecModel]
    transition_rules: tuple[tuple[str, str], ...]
    status: type[StatusModel]
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{names.GROUP}"

    @property
    def name_rules(self) -> tuple[Rule, ...]:
        """What metadata.name must be beside the name of an object; `holds` takes the name."""
        longest = self.max_name_length
        return (
            Rule(
                # Objects of the time before a limit go on: their status must still be written.
                cel=f"oldSelf.hasValue() || size(self.metadata.name) <= {longest}",
                message=f"metadata.name must be at most {counted(longest, 'character')}; names of {self.made_of_it}"
                " are made of it",
                holds=lambda name: len(name) <= longest,
            ),
            Rule(
                cel="!self.metadata.name.contains('.')",
                message="metadata.name must not contain '.'; names of hosts are made of it; use '-'",
                holds=lambda name: "." not in name,
            ),
        )


_REASON = Column("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', wide=True)
_AGE = Column("Age", "date", ".metadata.creationTimestamp")

FINE_TUNE = Resource(
    kind=names.KIND,
    plural=names.PLURAL,
    singular=names.SINGULAR,
    short_name=names.SHORT_NAME,
    description="One LoRA fine-tuning run: from a dataset in S3 to a verified adapter in S3.",
    max_name_length=names.MAX_NAME_LENGTH,
    made_of_it="Jobs and pods",
    spec=LoRAFineTuneSpec,
    transition_rules=LoRAFineTuneSpec.transition_rules,
    status=LoRAFineTuneStatus,
    columns=(
        Column("Phase", "string", ".status.phase"),
        Column("Progress", "string", ".status.progress.summary"),
        Column("Loss", "string", ".status.metrics.trainLoss"),
        Column("ETA", "string", ".status.progress.eta"),
        _AGE,
        Column("Model", "string", ".spec.model.id", wide=True),
        _REASON,
        Column("Node", "string", ".status.attempts[-1:].node", wide=True),
        Column("Adapter", "string", ".status.artifact.uri", wide=True),
    ),
)

SWEEP = Resource(
    kind=names.SWEEP_KIND,
    plural=names.SWEEP_PLURAL,
    singular=names.SWEEP_SINGULAR,
    short_name=names.SWEEP_SHORT_NAME,
    description="Several LoRA fine-tuning runs that differ in a few fields, and the best of them.",
    max_name_length=names.MAX_SWEEP_NAME_LENGTH,
    made_of_it="trials",
    spec=LoRASweepSpec,
    transition_rules=LoRASweepSpec.transition_rules,
    status=LoRASweepStatus,
    columns=(
        Column("Phase", "string", ".status.phase"),
        Column("Trials", "string", ".status.summary"),
        Column("Active", "integer", ".status.active"),
        Column("Best", "string", ".status.best.trial"),
        Column("Loss", "string", ".status.best.bestEvalLoss"),
        _AGE,
        _REASON,
        Column("Adapter", "string", ".status.best.artifact.uri", wide=True),
    ),
)

RESOURCES = (FINE_TUNE, SWEEP)
