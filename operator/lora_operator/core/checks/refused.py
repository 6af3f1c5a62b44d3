"""A spec that cannot be run as it stands."""

from __future__ import annotations

from lora_contract import names
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_contract.status import ErrorStatus
from lora_operator.core.checks.suspended import pause
from lora_operator.core.run import limits
from lora_operator.core.run.outcome import Refused
from lora_operator.core.run.run import Run

_CORRECT = (
    "Correct it: the run then goes on by itself. What cannot be changed any more: delete the run and apply it again."
)


def check_refused(run: Run) -> Refused | None:
    """Refuse a spec that cannot be run as it stands, until the spec or the platform's settings change.

    A rule binds only specs that are new to the operator: one that was accepted goes on by the rules of its day, until
    somebody edits it. A run whose spec was edited into one that cannot be run is paused: it holds no GPU until the spec
    is corrected, and goes on from its checkpoint then.
    """
    finetune, settings = run.finetune, run.settings
    if len(finetune.name) > names.MAX_NAME_LENGTH and not run.observed.jobs:
        # Also where it was accepted, when longer names were: the API server makes no Job for it.
        text = (
            f"metadata.name: {finetune.name} is too long for the hostnames of its pods, which the API server makes of"
            f" it. Create the run anew with a name of at most {names.MAX_NAME_LENGTH} characters."
        )
        return refusal(run, Reason.SPEC_INVALID, text)
    if run.accepted:
        return None
    if finetune.spec is None:
        return refusal(run, Reason.SPEC_INVALID, "; ".join(finetune.spec_errors))
    endpoint = finetune.spec.storage.endpoint
    allowed = {item.rstrip("/") for item in (settings.default_s3_endpoint, *settings.allowed_s3_endpoints) if item}
    if endpoint is not None and endpoint.rstrip("/") not in allowed:
        text = (
            f"spec.storage.endpoint: {endpoint} is not an endpoint that this platform allows"
            f" ({', '.join(sorted(allowed)) or 'none is'}). Use one of these, or leave the field out."
        )
        return refusal(run, Reason.ENDPOINT_NOT_ALLOWED, text)
    return None


def refusal(run: Run, reason: Reason, message: str, hint: str = _CORRECT) -> Refused:
    """Refuse the spec with a message that begins with its field and a colon; a Job that runs is paused."""
    job = run.job(run.stage)
    follow_up = pause(run, job) if job is not None else ()
    if job is not None and not job.finished:
        message = f"{message} The run is paused until then."
    text = shorten(message, limits.LONGEST_MESSAGE)
    error = ErrorStatus(code=reason, message=text, param=message.partition(":")[0], hint=hint)
    return Refused(reason, text, error, run.status, follow_up=follow_up)
