"""What prepare found, as the status says it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.preference_status import PreferencesPlanStatus
from lora_contract.source_status import SourcePlanStatus
from lora_contract.status import MemoryStatus, PlanStatus
from lora_trainer.data.profile import DataProfile, PreferencesProfile
from lora_trainer.planning.epoch_rows import epoch_rows
from lora_trainer.planning.evaluation_rows import evaluation_rows
from lora_trainer.prepare.dataset_files import FetchedDataset


def total_steps(spec: LoRAFineTuneSpec, rows: int) -> int:
    """Count the optimiser steps: as given, or enough for epochs of `rows` rows, a last smaller batch included."""
    if spec.training.max_steps is not None:
        return spec.training.max_steps
    steps_a_pass = math.ceil(rows / spec.training.effective_batch_size)
    return max(1, math.ceil((spec.training.epochs or 1) * steps_a_pass))


def plan_of(
    spec: LoRAFineTuneSpec, profile: DataProfile, data: FetchedDataset, commit: str, needed: MemoryStatus
) -> PlanStatus:
    """Say in the status what prepare found: `needed` is the memory, `commit` that of the base model."""
    mixed = epoch_rows(spec.dataset, [source.rows["train"] for source in profile.sources]) if profile.sources else []
    steps = total_steps(spec, sum(mixed) or profile.rows["train"])
    return PlanStatus(
        rows_read=sum(profile.rows_read.values()),
        rows=profile.rows["train"],
        conversations=profile.conversations if spec.dataset.is_chat else None,
        answers=profile.answers if spec.dataset.is_chat else None,
        unrolling_tokens=profile.unrolling_tokens,
        validation_rows=profile.rows["validation"],
        evaluation_rows=evaluation_rows(spec.training, profile.rows["validation"]),
        test_rows=profile.rows["test"],
        bad_rows=profile.bad_rows,
        duplicate_rows=profile.duplicate_rows,
        rows_without_target=profile.rows_without_target,
        truncated_rows=profile.truncated_rows,
        longest_row=profile.longest_row,
        epoch_rows=sum(mixed) or None,
        sources=_sources(profile, mixed, steps * spec.training.effective_batch_size) or None,
        preferences=_preferences(profile.preferences),
        tokens=profile.tokens,
        target_tokens=profile.target_tokens,
        weighted_target_tokens=profile.weighted_target_tokens,
        total_steps=steps,
        memory_bytes=needed.total_bytes,
        memory=needed,
        format=profile.format,
        dataset_digest=data.digest,
        model_commit=commit,
    )


def _preferences(found: PreferencesProfile | None) -> PreferencesPlanStatus | None:
    if found is None:
        return None
    return PreferencesPlanStatus(
        chosen_rows=found.chosen_rows,
        rejected_rows=found.rejected_rows,
        chosen_tokens=f"{found.chosen_tokens / max(found.chosen_rows, 1):.1f}",
        rejected_tokens=f"{found.rejected_tokens / max(found.rejected_rows, 1):.1f}",
    )


def _sources(profile: DataProfile, mixed: Sequence[int], trained: int) -> list[SourcePlanStatus]:
    """List what the plan says of each source that gives `mixed` rows an epoch, where a run trains on `trained` rows."""
    epochs = trained / max(sum(mixed), 1)
    return [
        SourcePlanStatus(
            name=source.name,
            rows=source.rows["train"],
            validation_rows=source.rows["validation"],
            test_rows=source.rows["test"],
            duplicate_rows=source.duplicate_rows,
            tokens=source.tokens,
            epoch_rows=rows,
            epochs=f"{epochs * rows / max(source.rows['train'], 1):.4g}",
        )
        for source, rows in zip(profile.sources, mixed, strict=True)
    ]
