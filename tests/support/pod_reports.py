"""What pods of a run report, for stories of the core."""

from __future__ import annotations

from lora_contract.report import Report, ReportError, Timing
from lora_contract.status import ArtifactStatus, MetricsStatus, PlanStatus

RUN_ID = "a" * 32
PLAN = PlanStatus(rows=480, validation_rows=60, test_rows=60, tokens=96000, total_steps=24)
ARTIFACT = ArtifactStatus(
    uri=f"s3://adapters/team-a/triage/{RUN_ID}/",
    manifest_digest="b" * 64,
    size_bytes=1234,
    base_model="microsoft/Phi-4-mini-instruct",
    required_max_lora_rank=16,
)
PREPARED = Report(stage="prepare", run_id=RUN_ID, plan=PLAN)
TRAINED = Report(
    stage="train",
    run_id=RUN_ID,
    artifact=ARTIFACT,
    metrics=MetricsStatus(test_loss="0.4100", base_test_loss="2.9000"),
    timing=Timing(last_step=24, seconds_before_first_step=10, seconds_after_last_step=20),
)


def failed_report(message: str, *, param: str | None = None, stage: str = "train") -> Report:
    """What a pod says that cannot go on."""
    return Report.model_validate({"stage": stage, "error": ReportError(message=message, param=param)})
