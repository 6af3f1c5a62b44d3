"""Reasons that only sweeps have. They are API as those of runs are; docs/sweeps.md explains each."""

from __future__ import annotations

from enum import StrEnum


class SweepReason(StrEnum):
    """Why a sweep is where it is."""

    TRIALS_RUNNING = "TrialsRunning"
    TRIAL_REFUSED = "TrialRefused"
    TRIAL_STOPPED = "TrialStopped"
    BEST_ADAPTER_FOUND = "BestAdapterFound"
    NO_TRIAL_COMPLETE = "NoTrialComplete"
