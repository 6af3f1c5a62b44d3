"""What a pod answers: JSON of at most 4096 bytes in its termination message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lora_contract.base import StatusModel
from lora_contract.names import STAGE_TRAIN, Stage
from lora_contract.outside import bounded, salvaged, shorten
from lora_contract.status import (
    MAX_URI_LENGTH,
    SHA256,
    ArtifactStatus,
    MetricsStatus,
    ParentStatus,
    PlanStatus,
)

#: The kubelet keeps this much of a termination message.
MAX_BYTES = 4096
#: Longest free text in bytes, tried in turn until the report fits: quotes and backslashes double in JSON.
_TEXT_LIMITS = (900, 450, 200, 60)
_MAX_WARNING = 256
_MAX_PARAM = 256


#: A measured number; what could not be measured (nan, infinity) counts as 0, as JSON has no word for it.
Measured = Annotated[float, AfterValidator(lambda value: value if math.isfinite(value) else 0.0)]


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
    seconds_before_first_step: Measured = Field(0, description="From the start of the process to its first step.")
    seconds_after_last_step: Measured = Field(0, description="From the end of the last step to the end of the process.")
    tokens_per_second: Measured = Field(0, description="Non-padding tokens a second while stepping.")


class Report(StatusModel):
    """The one message of a pod, whatever its stage and however it ended."""

    version: Literal[1] = 1
    stage: Stage = Field(description="The stage that speaks.")
    run_id: str | None = Field(None, description="Identity of the result.")
    parent: ParentStatus | None = Field(None, description="The adapter that the run goes on from.")
    plan: PlanStatus | None = Field(None, description="What prepare found.")
    adopted: bool = Field(False, description="The artefact existed already; nothing needs to be trained.")
    artifact: ArtifactStatus | None = Field(None, description="The published adapter.")
    metrics: MetricsStatus | None = Field(None, description="Losses.")
    timing: Timing | None = Field(None, description="What the train process used.")
    dataset_digest: str | None = Field(None, description="What a check found at the addresses.")
    inputs_drifted: bool | None = Field(None, description="Whether that is not what the adapter was trained on.")
    gate_failed: str | None = Field(None, description="The limit that the adapter missed, in words.")
    warnings: list[str] = Field([], description="Things to know that did not stop the run.")
    error: ReportError | None = Field(None, description="Why it failed; absent: it did not.")


def encode(report: Report) -> str:
    """Write the report as JSON of at most `MAX_BYTES` bytes: texts are cut ever shorter, then warnings left out."""
    for limit in _TEXT_LIMITS:
        text = _with_texts_cut(report, limit).model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= MAX_BYTES:
            return text
    if report.artifact is not None and report.artifact.serving is not None:  # manifest.json has it too
        report = report.model_copy(update={"artifact": report.artifact.model_copy(update={"serving": None})})
        text = _with_texts_cut(report, _TEXT_LIMITS[-1]).model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= MAX_BYTES:
            return text
    for smaller in _with_less_of_sources(report):
        text = _with_texts_cut(smaller, _TEXT_LIMITS[-1]).model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= MAX_BYTES:
            return text
    reduced = Report(
        stage=report.stage, run_id=report.run_id, parent=report.parent, error=report.error, adopted=report.adopted
    )
    return _with_texts_cut(reduced, _TEXT_LIMITS[-1]).model_dump_json(by_alias=True, exclude_none=True)


def _with_less_of_sources(report: Report) -> Iterator[Report]:
    """Make reports with ever less of the sources of the data: of many of them the figures take most of a report.

    The plan that train was given goes first, as the status has it since prepare; then the losses of each source, which
    `report.html` has too.
    """
    if report.stage == STAGE_TRAIN and report.plan is not None and report.plan.sources:
        report = report.model_copy(update={"plan": None})
        yield report
    if report.metrics is not None and report.metrics.sources:
        report = report.model_copy(update={"metrics": report.metrics.model_copy(update={"sources": None})})
        yield report
    if report.plan is not None and report.plan.sources:
        yield report.model_copy(update={"plan": report.plan.model_copy(update={"sources": None})})


def _with_texts_cut(report: Report, limit: int) -> Report:
    """Cut every free text of the report to `limit` bytes, and keep as many warnings as share that length."""
    error = report.error and ReportError(
        message=shorten(report.error.message, limit),
        param=report.error.param and shorten(report.error.param, min(limit, _MAX_PARAM)),
        hint=report.error.hint and shorten(report.error.hint, limit),
    )
    warnings: list[str] = []
    left = limit
    for warning in report.warnings:
        cut = shorten(warning, _MAX_WARNING)
        left -= len(cut.encode())
        if left < 0:
            break
        warnings.append(cut)
    gate_failed = report.gate_failed and shorten(report.gate_failed, min(limit, _MAX_PARAM))
    return report.model_copy(update={"error": error, "warnings": warnings, "gate_failed": gate_failed})


def decode(text: str | None) -> Report | None:
    """Read the report in a termination message; None where there is none, or something else wrote it.

    Anybody who may run a pod writes these: texts are cut, numbers clamped, parts of a wrong form dropped.
    """
    if not text or len(text) > 4 * MAX_BYTES:
        return None
    try:
        data = json.loads(text, parse_int=_integer, parse_constant=lambda _: None)
        bounded_data = bounded(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("version", 1) != 1:
        return None  # of another version everything may mean something else
    if (found := salvaged(Report, bounded_data)) is None:
        return None
    # Once more: a number may have been written as a text.
    sound = Report.model_validate(bounded(found.model_dump()))
    if sound.artifact is not None and not _is_in_s3(sound.artifact):
        sound = sound.model_copy(update={"artifact": None})
    return _with_texts_cut(sound, _TEXT_LIMITS[0])


def _is_in_s3(artifact: ArtifactStatus) -> bool:
    """Return whether an artifact can be found and checked by whoever reads of it: other runs may go on from it."""
    address = artifact.uri.startswith("s3://") and len(artifact.uri) <= MAX_URI_LENGTH
    return address and re.fullmatch(SHA256, artifact.manifest_digest) is not None


def _integer(digits: str) -> int:
    """Read an integer: Python refuses thousands of digits; what is bounded later may be any large number."""
    return int(digits[:20])
