"""What the operator orders from a pod: one JSON document in one environment variable. It holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lora_contract.base import Model
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import Stage
from lora_contract.status import ParentStatus, PlanStatus


def _accepted_before(spec: Any, validate: ValidatorFunctionWrapHandler) -> LoRAFineTuneSpec:
    """Read the spec as the operator accepted it; rules that came after that do not bind it."""
    try:
        return cast("LoRAFineTuneSpec", validate(spec))
    except ValidationError:
        found = LoRAFineTuneSpec.unchecked(spec) if isinstance(spec, Mapping) else None
        if found is None:
            raise
        return found


class Order(Model):
    """The order for one stage of one run."""

    version: Literal[1] = 1
    stage: Stage = Field(description="What to do.")
    namespace: str = Field(description="Namespace of the resource.")
    name: str = Field(description="Name of the resource; the adapter's folder is called so.")
    uid: str = Field(description="UID of the resource.")
    spec: Annotated[LoRAFineTuneSpec, WrapValidator(_accepted_before)] = Field(
        description="The spec, defaults applied."
    )
    run_id: str | None = Field(None, description="Identity found by an earlier prepare; always set for train.")
    plan: PlanStatus | None = Field(None, description="What prepare found; always set for train.")
    parent: ParentStatus | None = Field(
        None, description="The adapter that the run goes on from, once known; for train with spec.from always."
    )
    scratch: str = Field(description="Writable folder for everything temporary.")
    cache: str | None = Field(None, description="Folder of the model cache, where the namespace has one.")
    unavailable_budget_seconds: int = Field(120, description="How long S3 or the Hub may be away before exit 69.")


class TrainOrder(Order):
    """The order for the train stage: what prepare found is there."""

    run_id: str = Field(description="Identity found by prepare.")
    plan: PlanStatus = Field(description="What prepare found.")

    @classmethod
    def of(cls, order: Order) -> TrainOrder:
        """Make the order to train of an order.

        Raises:
            ValueError: it has no run id, no plan or no parent where the spec names one: prepare was left out.
        """
        if order.run_id is None or order.plan is None:
            raise ValueError("the order has no runId or no plan")
        if order.spec.parent is not None and order.parent is None:
            raise ValueError("the order has no parent, and its spec names one")
        return cls.model_construct(**{name: getattr(order, name) for name in cls.model_fields})
