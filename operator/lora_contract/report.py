"""What a pod answers: JSON of at most 4096 bytes in its termination message."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from lora_contract.base import StatusModel
from lora_contract.status import (
    ArtifactStatus,
    MetricsStatus,
    PlanStatus,
)

#: The kubelet keeps this much of a termination message.
MAX_BYTES = 4096
_MAX_TEXT = 900


class ReportError(StatusModel):
    """Why the pod could not do its work."""

    message: str = Field(description="What was wrong; names the field, or file and line.")
    param: str | None = Field(None, description="Field of the spec, or file and line.")
    hint: str | None = Field(None, description="What to do.")


class Timing(StatusModel):
    """What one train process used and lost."""

    from_step: int = Field(0, description="Step of the checkpoint it started from.")
    last_step: int = Field(0, description="Last step done.")
    lost_steps: int = Field(0, description="Steps of an earlier process that had to be done again.")
    seconds_before_first_step: float = Field(0, description="From the start of the process to its first step.")
    seconds_after_last_step: float = Field(0, description="From the end of the last step to the end of the process.")
    tokens_per_second: float = Field(0, description="Non-padding tokens a second while stepping.")


class Report(StatusModel):
    """The one message of a pod, whatever its stage and however it ended."""

    version: Literal[1] = 1
    stage: Literal["prepare", "train"] = Field(description="The stage that speaks.")
    run_id: str | None = Field(None, description="Identity of the result.")
    plan: PlanStatus | None = Field(None, description="What prepare found.")
    adopted: bool = Field(False, description="The artefact existed already; nothing needs to be trained.")
    artifact: ArtifactStatus | None = Field(None, description="The published adapter.")
    metrics: MetricsStatus | None = Field(None, description="Losses.")
    timing: Timing | None = Field(None, description="What the train process used.")
    gate_failed: str | None = Field(None, description="The limit that the adapter missed, in words.")
    warnings: list[str] = Field([], description="Things to know that did not stop the run.")
    error: ReportError | None = Field(None, description="Why it failed; absent: it did not.")


def encode(report: Report) -> str:
    """The report as JSON of at most `MAX_BYTES` bytes; long texts are cut, warnings are dropped last to first."""
    error = report.error
    if error is not None:
        error = ReportError(
            message=shorten(error.message),
            param=None if error.param is None else shorten(error.param, 256),
            hint=None if error.hint is None else shorten(error.hint),
        )
    warnings = [shorten(text, 256) for text in report.warnings]
    while True:
        text = report.model_copy(update={"error": error, "warnings": warnings}).model_dump_json(
            by_alias=True, exclude_none=True
        )
        if len(text.encode()) <= MAX_BYTES or not warnings:
            return text
        warnings = warnings[:-1]


def decode(text: str | None) -> Report | None:
    """The report in a termination message; None where there is none, or something else wrote it."""
    if not text or len(text) > 4 * MAX_BYTES:
        return None
    try:
        return Report.model_validate_json(text)
    except (ValidationError, ValueError, RecursionError):
        return None


def shorten(text: str, limit: int = _MAX_TEXT) -> str:
    """At most `limit` bytes of a text, marked where it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "..."
