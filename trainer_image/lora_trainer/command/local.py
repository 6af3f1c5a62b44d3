"""`lora-trainer run finetune.yaml`: prepare and train on this machine, with the files that a cluster would leave."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import cast

from lora_contract import names, spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import REPORT
from lora_contract.manifest import ours_of, read_manifest
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.yaml_documents import DocumentError, read_documents
from lora_trainer import stopping
from lora_trainer.command import off_cluster
from lora_trainer.command.stage import carry_out, unexpected, wrong
from lora_trainer.environment import cpu_is_allowed
from lora_trainer.errors import TrainerError, bad_config, unsupported
from lora_trainer.processes.restart import SmallerMicroBatch, start_again

log = logging.getLogger(__name__)

#: The exit code where a limit of `evaluation.gate` was missed. A pod has none for it: there the operator says Failed.
GATE_MISSED = 1


def run_file(path: Path) -> int:
    """Carry out a LoRAFineTune and say where the adapter lies; the exit code is that of a pod, or `GATE_MISSED`."""
    try:
        name, spec = read(path)
        check_gpu(spec)
        for note in (off_cluster.take_endpoint(spec, os.environ), off_cluster.of_no_effect(spec)):
            if note is not None:
                print(f"note: {note}")
        return _run(name, spec)
    except stopping.StopRequested:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return ExitCode.CHECKPOINTED
    except SmallerMicroBatch as order:
        start_again(order)
    except Exception as error:
        failure = error if isinstance(error, TrainerError) else unexpected(error)
        print(f"error: {wrong(failure)}", file=sys.stderr)
        if failure.hint:
            print(f"what to do: {failure.hint}", file=sys.stderr)
        return failure.exit_code


def read(path: Path) -> tuple[str, LoRAFineTuneSpec]:
    """Read name and spec of the LoRAFineTune in a file.

    Raises:
        TrainerError: 64, there is none, or more than one, or a field is wrong.
    """
    try:
        ours = list(ours_of(read_documents(path.read_bytes())))
        runs = [document for document in ours if document.get("kind") != names.SWEEP_KIND]
        if len(runs) == 1:
            manifest = read_manifest(runs[0], cluster=False)
            return manifest.name, cast("LoRAFineTuneSpec", manifest.spec)
    except OSError as error:
        raise bad_config(f"{path} cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise bad_config(f"{path}: {error}") from None
    if runs:
        raise bad_config(f"{path} has {len(runs)} of kind {names.KIND}", hint="Write each into a file of its own.")
    if ours:
        hint = f"Sweeps need the operator; write one of its trials as a {names.KIND}."
        raise bad_config(f"{path} has a {names.SWEEP_KIND} and no {names.KIND}", hint=hint)
    raise bad_config(f"{path} has no document of kind {names.KIND}")


def check_gpu(spec: LoRAFineTuneSpec, devices: Path = Path("/dev")) -> None:
    """Refuse a run for a GPU where there is none, before its data is read; without loading torch.

    Raises:
        TrainerError: 78, there is no NVIDIA device, neither of Linux nor of Windows' Linux.
    """
    wanted = spec.compute.gpus
    if wanted and not cpu_is_allowed() and not [*devices.glob("nvidia[0-9]*"), *devices.glob("dxg")]:
        raise unsupported(
            f"the run wants {wanted} GPU and this machine has no NVIDIA device",
            param=spec_paths.COMPUTE_GPUS,
            hint="Set compute.gpus: 0 to train on the CPU.",
        )


def _run(name: str, spec: LoRAFineTuneSpec) -> int:
    with tempfile.TemporaryDirectory(prefix="lora-trainer-") as scratch:
        order = Order(stage="prepare", namespace="local", name=name, uid=f"local-{name}", spec=spec, scratch=scratch)
        report = carry_out(order)
        if not report.adopted:
            _say_plan(report)
            found = {"run_id": report.run_id, "parent": report.parent, "plan": report.plan}
            report = carry_out(order.model_copy(update={"stage": "train", **found}))
    _say_result(report)
    return GATE_MISSED if report.gate_failed else ExitCode.DONE


def _say_plan(report: Report) -> None:
    plan = report.plan
    if plan is not None:
        numbers = (
            (plan.rows, "training row"),
            (plan.validation_rows, "validation row"),
            (plan.test_rows, "test row"),
            (plan.tokens, "token"),
            (plan.total_steps, "step"),
        )
        print(", ".join(counted(number, what) for number, what in numbers))
        if plan.preferences is not None:
            chosen, rejected = plan.preferences.chosen_tokens, plan.preferences.rejected_tokens
            print(f"chosen answers have {chosen} tokens on average, rejected ones {rejected}")
    for warning in report.warnings:
        print(f"note: {warning}")


def _say_result(report: Report) -> None:
    for warning in report.warnings:
        print(f"note: {warning}")
    if report.gate_failed:
        print(f"quality gate missed: {report.gate_failed}")
    metrics = report.metrics
    if metrics is not None:
        base_calls, calls = metrics.base_tool_calls, metrics.tool_calls
        base_preferences, preferences = metrics.base_preferences, metrics.preferences
        for label, value in (
            ("test loss of the base model", metrics.base_test_loss),
            ("of the adapter that it goes on from", metrics.parent_test_loss),
            ("of the adapter", metrics.test_loss),
            ("answers of the base model with right tool calls", base_calls and base_calls.share),
            ("of the adapter", calls and calls.share),
            (
                "share of test rows that the base model preferred rightly",
                base_preferences and base_preferences.accuracy,
            ),
            ("of the adapter", preferences and preferences.accuracy),
        ):
            if value is not None:
                print(f"{label}: {value}")
    if report.artifact is not None:
        print(f"adapter: {report.artifact.uri}{' (existed already)' if report.adopted else ''}")
        print(f"report: {report.artifact.uri}/{REPORT}")
