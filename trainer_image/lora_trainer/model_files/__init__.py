"""A base model's files on this machine; imports no torch."""

from __future__ import annotations

from lora_trainer.model_files.cache import StagedModel
from lora_trainer.model_files.staging import stage

__all__ = ["StagedModel", "stage"]
