"""The one decision of the operator."""

from __future__ import annotations

from datetime import datetime

from lora_operator.core.decision import Decision
from lora_operator.core.observed import Observed
from lora_operator.settings import Settings


def decide(observed: Observed, settings: Settings, now: datetime) -> Decision:
    """What to do about one run, from all that is known of it. Pure: equal arguments give equal decisions."""
    raise NotImplementedError
