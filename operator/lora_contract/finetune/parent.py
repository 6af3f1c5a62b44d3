"""spec.from: the adapter that a run goes on from, instead of a fresh one."""

from __future__ import annotations

from typing import ClassVar

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import ObjectName, StorageUri, documented


class ParentSpec(SpecModel):
    """The parent: a published adapter whose weights this run begins with. Its optimiser begins anew."""

    adapter: StorageUri | None = documented(
        None,
        "S3 prefix of a published adapter, as status.artifact.uri tells it. Exactly one of adapter and run.",
        "s3://adapters/team-a/triage/0123456789abcdef0123456789abcdef",
    )
    run: ObjectName | None = documented(
        None,
        "LoRAFineTune of the same namespace. It is waited for, also where it is created later; where it fails, this"
        " run fails too. Exactly one of adapter and run.",
        "triage-base",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.adapter) != has(self.run)",
            message="set exactly one of from.adapter and from.run; leave from out to begin with a fresh adapter",
            holds=lambda p: (p.adapter is None) != (p.run is None),
        ),
    )


#: Rules of the whole spec: what can be measured only beside a parent.
RULES_OF_PARENT: tuple[Rule, ...] = (
    Rule(
        cel="has(self.from) || !has(self.evaluation.gate.maxLossRatioToParent)",
        message="evaluation.gate.maxLossRatioToParent needs from, the adapter to compare with; or remove it",
        holds=lambda s: s.parent is not None or s.evaluation.gate.max_loss_ratio_to_parent is None,
    ),
)
