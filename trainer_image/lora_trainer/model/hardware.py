"""What the machine offers: device, number format, memory, processors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from lora_contract import spec_paths
from lora_contract.names import ENV_CPU_FLOAT32
from lora_trainer.environment import cpu_is_allowed
from lora_trainer.errors import unsupported
from lora_trainer.processes.rank import Place

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Hardware:
    """Where and in which number format the model computes."""

    device: torch.device
    dtype: torch.dtype
    #: Processes of this run that share the memory of the CPU.
    sharers: int = 1

    @property
    def is_cuda(self) -> bool:
        """Whether a CUDA device is used."""
        return self.device.type == "cuda"

    @property
    def autocast(self) -> torch.dtype | None:
        """Format that matrix products of the adapter are done in; None: that of its weights."""
        return self.dtype if self.is_cuda else None


def detect(gpus: int, place: Place | None = None) -> Hardware:
    """Find this process's CUDA device with bfloat16, or float16 where it has none; with `gpus` 0 the CPU.

    Raises:
        TrainerError: 78, CUDA finds fewer devices than the pod was given GPUs, and the CPU is not allowed.
    """
    place = place or Place()
    if gpus == 0:
        return _cpu(place)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found and cpu_is_allowed():
        return _cpu(place)
    if found < place.local_size:
        raise unsupported(
            f"the pod was given {gpus} GPU but CUDA finds {found or 'none'}",
            param=spec_paths.COMPUTE_GPUS,
            hint="Check the node's driver and device plugin, or set compute.gpus: 0 to train on the CPU.",
        )
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return Hardware(torch.device("cuda", place.local_rank), dtype)


def _cpu(place: Place) -> Hardware:
    """Take the CPU with bfloat16 where it multiplies that in hardware, twice as fast as float32, else with float32."""
    can = torch.cpu.get_capabilities()
    fast = bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    wanted = fast and os.environ.get(ENV_CPU_FLOAT32) != "1"
    return Hardware(torch.device("cpu"), torch.bfloat16 if wanted else torch.float32, place.local_size)


def free_memory(hardware: Hardware) -> int:
    """Tell the bytes that may still be taken on the device; on a CPU this process's share of the container's limit."""
    if hardware.is_cuda:
        return int(torch.cuda.mem_get_info(hardware.device)[0])
    available = psutil.virtual_memory().available
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        available = min(available, int(text) - int(used.read_text()))
    return max(available, 0) // hardware.sharers
