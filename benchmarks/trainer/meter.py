"""What is measured, by the same code for every variant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from lora_trainer.batches.batch import Row
from lora_trainer.environment import process_age

#: The operators that multiply matrices; the rest of a step is what an engine can save.
_PRODUCTS = frozenset(
    {
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "aten::baddbmm",
        "aten::baddbmm_",
        "aten::addmm_",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
        "aten::mkldnn_linear",
        "aten::mkldnn_matmul",
        "mkldnn::_linear_pointwise",
        "aten::_flash_attention_forward",
        "aten::_flash_attention_backward",
        "aten::_efficient_attention_forward",
        "aten::_efficient_attention_backward",
        "aten::_cudnn_attention_forward",
        "aten::_cudnn_attention_backward",
    }
)


@dataclass
class Meter(TrainerCallback):
    """Times every step but the first, which warms up, and the last, which is profiled.

    Peak memory is read before the profiler starts: its records take memory too.
    """

    seconds: list[float] = field(default_factory=list)
    #: Processor time of each step, all threads together: what else the machine does counts less there.
    cpu_seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    peak_bytes: int = 0
    first_step_began: float = 0.0
    share_outside_products: float = 0.0
    #: Share of the profiled step in which a GPU computed nothing; 0 without one.
    share_idle: float = 0.0
    most_expensive: list[tuple[str, float]] = field(default_factory=list)
    _began: float = 0.0
    _cpu_began: float = 0.0
    _profile: Any = None

    def watch(self, model: Any) -> None:
        """Count the tokens that reach the decoder, padding apart."""
        decoder = model.get_base_model().get_decoder()
        decoder.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _module: Any, _arguments: Any, inputs: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return  # asked of the reference, not trained on
        mask = inputs.get("attention_mask")
        self.tokens[-1] += int(inputs["input_ids"].numel() if mask is None else mask.sum())

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, or the profiler."""
        self.first_step_began = self.first_step_began or time.time()
        if state.global_step == state.max_steps - 1:
            self.peak_bytes = peak_memory()
            kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu() else [])]
            self._profile = profile(activities=kinds)
            self._profile.__enter__()
        self.tokens.append(0)
        self._began, self._cpu_began = now(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it."""
        self.seconds.append(now() - self._began)
        self.cpu_seconds.append(time.process_time() - self._cpu_began)
        if self._profile is not None and state.global_step == state.max_steps:
            self._profile.__exit__(None, None, None)
            self._read_profile()

    def _read_profile(self) -> None:
        unit = "self_device_time_total" if on_gpu() else "self_cpu_time_total"
        # Kernels are counted where they were launched, so not again by themselves.
        launched = [event for event in self._profile.key_averages() if event.device_type == DeviceType.CPU]
        times = {event.key: getattr(event, unit) / 1e6 for event in launched}
        total = sum(times.values())
        self.share_idle = max(0.0, 1 - total / self.seconds[-1]) if on_gpu() else 0.0
        self.share_outside_products = 1 - sum(times.get(name, 0.0) for name in _PRODUCTS) / total
        ranked = sorted(times.items(), key=lambda item: -item[1])[:25]
        self.most_expensive = [(name, round(seconds / total, 4)) for name, seconds in ranked]

    def tokens_per_second(self) -> float:
        """Useful tokens a second of the timed steps."""
        return sum(self.tokens[1:-1]) / sum(self.seconds[1:-1])

    def tokens_per_cpu_second(self) -> float:
        """Useful tokens of the timed steps by their processor time."""
        return sum(self.tokens[1:-1]) / sum(self.cpu_seconds[1:-1])

    def fastest(self) -> float:
        """Useful tokens a second of the fastest timed step: the least disturbed one on a busy machine."""
        return max(tokens / seconds for tokens, seconds in zip(self.tokens[1:-1], self.seconds[1:-1], strict=True))


def on_gpu() -> bool:
    """Whether this process has used a CUDA device."""
    return bool(torch.cuda.is_initialized())


def now() -> float:
    """A clock in seconds, read when the device has done all it was given."""
    if on_gpu():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_memory() -> int:
    """Most bytes so far: of the GPU's memory that tensors took, else of this process."""
    return int(torch.cuda.max_memory_allocated()) if on_gpu() else _memory("VmHWM:")


def memory_before_model() -> int:
    """Bytes that count for the peak and are there before a model is loaded: the libraries, in a CPU's memory."""
    return 0 if torch.cuda.is_available() else _memory("VmRSS:")


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def held_out_loss(model: Any, rows: Sequence[Row]) -> float:
    """Nats a target token: the model's own forward pass, one row at a time, cross entropy in float32."""
    model.eval()
    device = next(model.parameters()).device
    total, targets = 0.0, 0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor(row.input_ids, dtype=torch.long, device=device)
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
            wanted = torch.tensor(row.targets[1:], device=device)
            labels = ids[1:][wanted]
            total += float(functional.cross_entropy(logits[wanted].float(), labels, reduction="sum"))
            targets += len(labels)
    return total / targets


def process_started() -> float:
    """When this process started, as `time.time`."""
    return time.time() - process_age()
