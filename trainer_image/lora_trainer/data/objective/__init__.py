"""How the rows of a run become tokens and targets: the half of its objective that `prepare` needs, without torch.

`lora_trainer.objective` has the other half: how a batch becomes a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data.known_tokens import Known
from lora_trainer.data.objective.answer_rows import LabelledRows, PairRows
from lora_trainer.data.objective.row_objective import RowObjective
from lora_trainer.data.objective.supervised import SupervisedRows
from lora_trainer.data.template.chat_template import ChatTemplate

ObjectiveName = Literal["supervised", "dpo", "kto"]


def name_of(spec: LoRAFineTuneSpec) -> ObjectiveName:
    """Tell the objective that a spec asks for; both halves are chosen by it."""
    return "supervised" if spec.method is None else spec.method.name


def chosen(spec: LoRAFineTuneSpec, template: ChatTemplate, known: Known | None = None) -> RowObjective:
    """Make this half of the objective that the spec asks for; `known` are tokens that need not be made again."""
    objectives: dict[ObjectiveName, Callable[[LoRAFineTuneSpec, ChatTemplate], RowObjective]] = {
        "supervised": partial(SupervisedRows, known=known),
        "dpo": PairRows,
        "kto": LabelledRows,
    }
    return objectives[name_of(spec)](spec, template)
