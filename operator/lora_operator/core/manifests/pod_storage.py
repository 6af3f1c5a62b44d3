"""How much disk and shared memory a pod may use: the platform's limits, or what its plan lets expect.

The limits are of the volumes: the kubelet evicts a pod that exceeds one. Requests and limits of the resource
`ephemeral-storage` are set only where the platform asks for them: a ClusterQueue of Kueue admits no Job with a resource
that it does not cover.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_operator.settings import Settings

_GIB = 1 << 30
#: Caches of compiled kernels, reports, and whatever a library puts into its home.
_BASE = 20 * _GIB
#: The files of a model hold up to four bytes a weight, of which the 4-bit form keeps half a byte at least.
_FILES_OF_WEIGHTS = 8
#: A checkpoint is smaller than the adapter with gradients and optimiser in memory; some lie side by side.
_CHECKPOINTS = 8
#: Prepared rows, and the same in the form in which they are mapped into memory; bytes for each training token, which
#: leave room for the rows that are held out.
_BYTES_A_TOKEN = 64
#: The container's log, which counts as ephemeral storage too.
_LOG = 1 * _GIB
_RESOURCE = "ephemeral-storage"

Json = dict[str, Any]


class Resources(NamedTuple):
    """Part of a container's resources."""

    requests: dict[str, str]
    limits: dict[str, str]


def scratch(order: Order, settings: Settings) -> Json:
    """Build the emptyDir for everything temporary on disk."""
    return _limited({}, _scratch_bytes(order, settings))


def shared_memory(spec: LoRAFineTuneSpec, settings: Settings) -> Json:
    """Build the emptyDir of a train pod's /dev/shm; what it holds counts as the container's memory."""
    size = settings.shared_memory
    return _limited({"medium": "Memory"}, None if size is None else size * max(1, spec.compute.gpus))


def ephemeral_storage(order: Order, settings: Settings) -> Resources:
    """Return the platform's request, with a limit that leaves room for all of scratch and the log."""
    train = order.stage == names.STAGE_TRAIN
    request = settings.train_ephemeral_storage if train else settings.prepare_ephemeral_storage
    if request is None:
        return Resources({}, {})
    limit = _scratch_bytes(order, settings)
    limits = {} if limit is None else {_RESOURCE: _quantity(max(request, limit + _LOG))}
    return Resources({_RESOURCE: _quantity(request)}, limits)


def _scratch_bytes(order: Order, settings: Settings) -> int | None:
    """Compute the limit of scratch; None: none, for instance because the plan does not estimate memory."""
    if order.stage != names.STAGE_TRAIN:
        return settings.prepare_scratch
    plan = order.plan
    if settings.train_scratch is not None or plan is None or plan.memory is None:
        return settings.train_scratch
    model = _FILES_OF_WEIGHTS * plan.memory.nf4_weights_bytes
    return _BASE + model + _CHECKPOINTS * plan.memory.adapter_bytes + _BYTES_A_TOKEN * plan.tokens


def _limited(volume: Json, size: int | None) -> Json:
    return volume if size is None else volume | {"sizeLimit": _quantity(size)}


def _quantity(size: int) -> str:
    """Round up to whole GiB; smaller sizes to MiB."""
    return f"{math.ceil(size / _GIB)}Gi" if size >= _GIB else f"{math.ceil(size / (1 << 20))}Mi"
