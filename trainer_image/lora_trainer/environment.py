"""What a process is given by its machine, and what must be set before numeric libraries are loaded; imports none."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from lora_contract.names import ENV_ALLOW_CPU

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cpu_count() -> int:
    """Count the processors this process may use: its affinity, within the CPU limit of its container."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_MAX.read_text().split()
        if quota != "max":
            available = min(available, max(1, math.floor(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return max(1, available)


def process_age() -> float:
    """Return the seconds since this process started, to a hundredth; psutil knows its start to the second."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def cpu_is_allowed() -> bool:
    """Tell whether a run for a GPU may train on the CPU where there is none."""
    return os.environ.get(ENV_ALLOW_CPU) == "1"


def prepare_environment() -> None:
    """Set threads that fit the container, an allocator that does not fragment; no network, no telemetry, no pickles.

    Idle OpenMP threads sleep: spinning ones use up the CPU quota of a container that the working ones need.
    A value that is already set stays, except where it would let `torch.load` run code from a file.
    """
    # Libraries read checkpoints with torch.load: whatever they ask for, only tensors and plain values are loaded.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    threads = str(cpu_count())
    defaults = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "true" if int(threads) > 1 else "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "PYTHONUNBUFFERED": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
