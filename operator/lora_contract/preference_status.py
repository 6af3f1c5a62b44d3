"""What the status says of rows of preferences. Numbers that are not whole are decimal strings."""

from __future__ import annotations

from pydantic import Field

from lora_contract.base import StatusModel


class PreferencesPlanStatus(StatusModel):
    """What prepare found of the training rows of a run with a method."""

    chosen_rows: int = Field(0, description="Rows with a preferred (dpo) or wanted (kto) answer.")
    rejected_rows: int = Field(0, description="Rows with a rejected (dpo) or unwanted (kto) answer.")
    chosen_tokens: str | None = Field(
        None, description="Mean tokens of preferred or wanted answers, a decimal.", max_length=32
    )
    rejected_tokens: str | None = Field(
        None, description="Mean tokens of rejected or unwanted answers, a decimal.", max_length=32
    )
