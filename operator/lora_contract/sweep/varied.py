"""The fields that a sweep may vary, with the types and bounds that they have in a run's own spec."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import create_model
from pydantic.fields import FieldInfo

from lora_contract.base import SpecModel
from lora_contract.finetune.fields import documented
from lora_contract.finetune.method import DpoSpec, KtoSpec
from lora_contract.finetune.training import LoraSpec, TrainingSpec

LORA_FIELDS = ("r", "alpha", "dropout", "target_modules", "use_rslora")
TRAINING_FIELDS = (
    "max_steps",
    "epochs",
    "effective_batch_size",
    "learning_rate",
    "schedule",
    "warmup_ratio",
    "weight_decay",
    "max_grad_norm",
    "seed",
)
DPO_FIELDS = ("beta", "sft_weight", "length_normalised")
KTO_FIELDS = ("beta", "desirable_weight", "undesirable_weight")
#: Those that a sweep may not vary: they would not make another adapter, or change what the evaluation loss means, so
#: that trials could not be compared.
LORA_FIELDS_LEFT_OUT: tuple[str, ...] = ()
DPO_FIELDS_LEFT_OUT: tuple[str, ...] = ()
KTO_FIELDS_LEFT_OUT: tuple[str, ...] = ()
TRAINING_FIELDS_LEFT_OUT = (
    "micro_batch_size",
    "save_steps",
    "max_length",
    "train_on",
    "eval_steps",
    "early_stopping",
)
MAX_VALUES = 16


def _type_of(info: FieldInfo) -> Any:
    """Find the type of a field with its bounds, without the None of optional fields."""
    parts = [part for part in get_args(info.annotation) if part is not NoneType]
    optional = NoneType in get_args(info.annotation)
    bare = parts[0] if optional and len(parts) == 1 else info.annotation
    return Annotated[(bare, *info.metadata)] if info.metadata else bare


def _values_of(model: type[SpecModel], fields: tuple[str, ...], text: str) -> type[SpecModel]:
    """Make a model that has, for each of these fields, a list of values to try."""
    made: dict[str, Any] = {}
    for name in fields:
        info = model.model_fields[name]
        field = documented(
            None, f"Values to try. {info.description}", [_example(info)], min_length=1, max_length=MAX_VALUES
        )
        made[name] = (list[_type_of(info)] | None, field)  # type: ignore[misc]
    return create_model(f"{model.__name__}Values", __base__=SpecModel, __doc__=text, **made)


def _changes_of(model: type[SpecModel], fields: tuple[str, ...], text: str) -> type[SpecModel]:
    """Make a model in which each of these fields may be set, or left as the template has it."""
    made: dict[str, Any] = {}
    for name in fields:
        info = model.model_fields[name]
        made[name] = (_type_of(info) | None, documented(None, info.description or "", _example(info)))
    return create_model(f"{model.__name__}Changes", __base__=SpecModel, __doc__=text, **made)


def _example(info: FieldInfo) -> Any:
    return (info.examples or [None])[0]


if TYPE_CHECKING:  # made from the run's spec below: type checkers see the common base
    LoraValues = SpecModel
    TrainingValues = SpecModel
    LoraChanges = SpecModel
    TrainingChanges = SpecModel
    DpoValues = SpecModel
    KtoValues = SpecModel
    DpoChanges = SpecModel
    KtoChanges = SpecModel
else:
    LoraValues = _values_of(LoraSpec, LORA_FIELDS, "Values to try of fields of lora.")
    TrainingValues = _values_of(TrainingSpec, TRAINING_FIELDS, "Values to try of fields of training.")
    LoraChanges = _changes_of(LoraSpec, LORA_FIELDS, "Fields of lora that a trial sets.")
    TrainingChanges = _changes_of(TrainingSpec, TRAINING_FIELDS, "Fields of training that a trial sets.")
    DpoValues = _values_of(DpoSpec, DPO_FIELDS, "Values to try of fields of method.dpo.")
    KtoValues = _values_of(KtoSpec, KTO_FIELDS, "Values to try of fields of method.kto.")
    DpoChanges = _changes_of(DpoSpec, DPO_FIELDS, "Fields of method.dpo that a trial sets.")
    KtoChanges = _changes_of(KtoSpec, KTO_FIELDS, "Fields of method.kto that a trial sets.")


class MethodValues(SpecModel):
    """Values to try of fields of the template's method."""

    dpo: DpoValues = documented(DpoValues(), "Values to try of fields of method.dpo.", {"beta": [0.05, 0.1]})
    kto: KtoValues = documented(KtoValues(), "Values to try of fields of method.kto.", {"beta": [0.05, 0.1]})


class MethodChanges(SpecModel):
    """Fields of the template's method that a trial sets."""

    dpo: DpoChanges = documented(DpoChanges(), "Fields of method.dpo that this trial sets.", {"beta": 0.05})
    kto: KtoChanges = documented(KtoChanges(), "Fields of method.kto that this trial sets.", {"beta": 0.05})
