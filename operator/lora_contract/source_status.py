"""What the status says of each source of the data. Numbers that are not whole are decimal strings."""

from __future__ import annotations

from pydantic import Field

from lora_contract.base import StatusModel


class SourcePlanStatus(StatusModel):
    """What prepare found of one source of dataset.sources."""

    name: str = Field(description="Name of the source.", max_length=40)
    rows: int = Field(description="Training rows after checks and split.")
    validation_rows: int = Field(0, description="Rows held out for evaluation during training.")
    test_rows: int = Field(0, description="Rows held out for the final comparison.")
    duplicate_rows: int = Field(0, description="Rows left out because they repeat another, of any source.")
    tokens: int = Field(0, description="Tokens of the training rows.")
    epoch_rows: int = Field(description="Training rows of an epoch that come from it, by repeats or share.")
    epochs: str | None = Field(None, description="Times that a row is trained on in the run, a decimal.", max_length=32)


class SourceMetricsStatus(StatusModel):
    """Losses on the held-out rows of one source, in nats per target token, decimal strings."""

    name: str = Field(description="Name of the source.", max_length=40)
    base_eval_loss: str | None = Field(
        None, description="Loss of the base model on its validation rows.", max_length=32
    )
    eval_loss: str | None = Field(None, description="Loss of the adapter on its validation rows.", max_length=32)
    base_test_loss: str | None = Field(None, description="Loss of the base on its test rows.", max_length=32)
    test_loss: str | None = Field(None, description="Loss of the adapter on its test rows.", max_length=32)
