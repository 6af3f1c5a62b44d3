"""Exit codes of the trainer image and what the operator does about each (numbers as in sysexits.h where it has one)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a prepare or train process ended."""

    DONE = 0
    BAD_CONFIG = 64
    BAD_DATA = 65
    INPUT_MISSING = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    CHECKPOINTED = 75
    ACCESS_DENIED = 77
    UNSUPPORTED = 78
    CUDA_OUT_OF_MEMORY = 80
    LOSS_NOT_FINITE = 81
    STALLED = 82
    GPU_FAILED = 83
    STORAGE_FULL = 84
    NOTHING_LEARNED = 85
    VERIFICATION_FAILED = 86


#: The user must change something: never retried, no GPU is taken again.
USER_ERRORS = (
    ExitCode.BAD_CONFIG,
    ExitCode.BAD_DATA,
    ExitCode.INPUT_MISSING,
    ExitCode.ACCESS_DENIED,
    ExitCode.UNSUPPORTED,
    ExitCode.CUDA_OUT_OF_MEMORY,
    ExitCode.LOSS_NOT_FINITE,
    ExitCode.NOTHING_LEARNED,
)

#: Would end the same way again: the Job fails at once.
FINAL = (*USER_ERRORS, ExitCode.VERIFICATION_FAILED)

#: Stopped on request after a checkpoint: starts again and counts against nothing.
NOT_COUNTED = (ExitCode.CHECKPOINTED,)
