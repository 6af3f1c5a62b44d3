"""Proof that what was written loads, and that it is the adapter that was trained.

The reloaded model computes by the forward pass of training, so equal weights give equal logits. Another would only add
the rounding of its own order of operations, which in bfloat16 and a deep model is as large as the effect of a weak
adapter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import QuantizationSpec
from lora_trainer.batches.batch import Row
from lora_trainer.callbacks.best import adapter_tensors
from lora_trainer.errors import TrainerError
from lora_trainer.model.adapter import quicken
from lora_trainer.model.difference import OF_RELOADED_ADAPTERS, relative_difference
from lora_trainer.model.forward import ForwardPass
from lora_trainer.model.hardware import Hardware
from lora_trainer.model.load import load_base
from lora_trainer.train.inputs import Inputs
from lora_trainer.train.session import Session

log = logging.getLogger(__name__)

_ROWS = 2
_LONGEST = 256


@dataclass(frozen=True)
class Probe:
    """The trained adapter's tensors, a few rows, and the trained model's logits at their targets."""

    tensors: Mapping[str, Tensor]
    rows: list[Row]
    logits: Tensor


def probe(session: Session, inputs: Inputs) -> Probe:
    """Take from the trained model what the saved adapter is compared with."""
    return probe_of(session.adapted.model, session.forward_pass, probe_rows(inputs))


def probe_rows(inputs: Inputs) -> list[Row]:
    """Choose the rows on which models are compared: held out where there are such."""
    rows = inputs.test or inputs.validation or inputs.train
    return [rows[index].cut(_LONGEST) for index in range(min(_ROWS, len(rows)))]


def probe_of(model: PeftModel, forward_pass: ForwardPass, rows: list[Row]) -> Probe:
    """Take the same from any adapted model and rows."""
    return Probe(adapter_tensors(model), rows, forward_pass.logits(model.eval(), rows).cpu())


def verify(
    folder: Path,
    model_path: Path,
    quantization: QuantizationSpec,
    *,
    forward_pass: ForwardPass,
    hardware: Hardware,
    probe: Probe,
) -> None:
    """Load base and adapter anew, as a server would, and compare tensors and logits with those of training.

    Raises:
        TrainerError: 86, the written adapter is not the trained one.
    """
    base = load_base(model_path, quantization, hardware)
    model = PeftModel.from_pretrained(base, str(folder)).to(hardware.device).eval()
    _compare_tensors(adapter_tensors(model), probe.tensors)
    quicken(model)
    forward_pass.install(model)
    found = forward_pass.logits(model, probe.rows).cpu()
    difference = relative_difference(found, probe.logits)
    if not difference <= OF_RELOADED_ADAPTERS[hardware.dtype]:
        raise _wrong(f"its logits differ by {difference:.1e} of their size")
    log.info("the saved adapter was loaded again and answers like the trained one (difference %.1e)", difference)


def _compare_tensors(found: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> None:
    if different := sorted(found.keys() ^ trained.keys()):
        raise _wrong(f"{len(different)} tensors are in one of them only, {different[0]} for one")
    for name, tensor in trained.items():
        if not torch.equal(found[name].float(), tensor.float()):
            raise _wrong(f"its tensor {name} has other values")


def _wrong(how: str) -> TrainerError:
    return TrainerError(ExitCode.VERIFICATION_FAILED, f"the saved adapter does not answer like the trained one: {how}")
