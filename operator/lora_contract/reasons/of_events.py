"""Reasons of Events alone."""

from __future__ import annotations

from lora_contract.reasons.facts import ReasonFacts
from lora_contract.reasons.reason import Reason

REASONS = {
    Reason.STATUS_REFUSED: ReasonFacts(
        meaning=(
            "The API server refused a part of the status, because the CRD is of another release than the operator. The "
            "part is left out, the rest is told; the message names it."
        ),
        advice="Update the CRDs to the operator's release.",
        warning=True,
    ),
}
