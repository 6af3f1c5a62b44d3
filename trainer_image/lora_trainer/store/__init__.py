"""Objects in S3 or on disk."""

from __future__ import annotations

from lora_trainer.store.access_history import AccessHistory
from lora_trainer.store.by_scheme import StoreByScheme
from lora_trainer.store.failures import about
from lora_trainer.store.protocol import ObjectInfo, Store

__all__ = ["AccessHistory", "ObjectInfo", "Store", "about", "from_environment"]


def from_environment(unavailable_budget_seconds: float, history: AccessHistory | None = None) -> Store:
    """Open the store of this process: `file://` addresses on this machine, `s3://` as the AWS variables say.

    `unavailable_budget_seconds`: how long S3 may be away before a call raises `TrainerError` with exit code 69.
    `history`: what is known of the rights at the addresses of the run.
    """
    return StoreByScheme(unavailable_budget_seconds, history or AccessHistory())
