"""Reasons that end a run at once, because the spec or the inputs must change."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode
from lora_contract.reasons.facts import AGAIN, ReasonFacts
from lora_contract.reasons.reason import Reason

REASONS = {
    Reason.SPEC_INVALID: ReasonFacts(
        meaning=(
            "The spec breaks a rule that the API server did not check, for instance because the CRD is older than the "
            "operator; or the run has a name of more than 44 characters from the time when that was accepted."
        ),
        advice="Correct the field in `status.error.param`: the run goes on by itself. Update the CRD.",
    ),
    Reason.ENDPOINT_NOT_ALLOWED: ReasonFacts(
        meaning="`storage.endpoint` is not on the platform's list.",
        advice=(
            "Leave it out and the run goes on, or ask for it to be added to `storage.allowedEndpoints` of the chart."
        ),
    ),
    Reason.LIMIT_REACHED: ReasonFacts(
        meaning=(
            "The run used the GPU hours, or the cost, of `spec.limits`: it was stopped after a checkpoint and holds no "
            "GPU. Or even the low estimate in `status.plan.estimate` is above the limit, and no GPU was asked for. Or "
            "`limits.cost` is set and the platform names no price."
        ),
        advice=(
            "Raise the limit, or remove it: the run goes on from its checkpoint by itself. See "
            "[limits](gpu-economy.md#limits)."
        ),
    ),
    Reason.BAD_CONFIG: ReasonFacts(
        exit_code=ExitCode.BAD_CONFIG,
        meaning="A value does not fit model or data, for instance a target module that the model does not have.",
        advice="Correct the field in `status.error.param`.",
    ),
    Reason.BAD_DATA: ReasonFacts(
        exit_code=ExitCode.BAD_DATA,
        meaning="The dataset has a malformed row, no rows, wrong columns or nothing to learn from.",
        advice="Correct the file and line that the message names, or set `dataset.onBadRows: Skip`.",
    ),
    Reason.INPUT_MISSING: ReasonFacts(
        exit_code=ExitCode.INPUT_MISSING,
        meaning="A bucket, object, model or revision does not exist.",
        advice="Correct the address, or upload what is missing.",
    ),
    Reason.ACCESS_DENIED: ReasonFacts(
        exit_code=ExitCode.ACCESS_DENIED,
        meaning="The credentials may not read the inputs or write the output, or the model is gated.",
        advice=(
            "Correct the Secret or the ServiceAccount's rights; accept the model's terms and set "
            "`model.tokenSecretName`."
        ),
    ),
    Reason.UNSUPPORTED: ReasonFacts(
        exit_code=ExitCode.UNSUPPORTED,
        meaning="The model, its file format, the GPU or a combination of settings cannot be trained.",
        advice="Do what the message says; choose another model or setting.",
    ),
    Reason.CUDA_OUT_OF_MEMORY: ReasonFacts(
        exit_code=ExitCode.CUDA_OUT_OF_MEMORY,
        meaning="The model, or one row at a time, does not fit the GPU; smaller micro batches were tried before.",
        advice="Lower `training.maxLength` or `lora.r`, quantise to `nf4`, or choose a larger GPU.",
    ),
    Reason.INSUFFICIENT_GPU_MEMORY: ReasonFacts(
        meaning=(
            "The estimate of the memory, even for one row at a time, is above every GPU that "
            "`compute.nodeSelector` matches. Nothing was queued."
        ),
        advice=(
            "Do what `status.error.hint` says: a shorter `training.maxLength`, `nf4`, or a larger GPU. See [GPU "
            "economy](gpu-economy.md#does-it-fit)."
        ),
    ),
    Reason.NOTHING_LEARNED: ReasonFacts(
        exit_code=ExitCode.NOTHING_LEARNED,
        meaning="The trained adapter answers exactly like the base model; it is not published.",
        advice="Raise `training.learningRate`, or train more steps.",
    ),
    Reason.LOSS_NOT_FINITE: ReasonFacts(
        exit_code=ExitCode.LOSS_NOT_FINITE,
        meaning="The loss became infinite or not a number.",
        advice="Lower `training.learningRate`, raise `warmupRatio`, look at the data around that step.",
    ),
    Reason.EPHEMERAL_STORAGE_EXCEEDED: ReasonFacts(
        meaning="The pod wrote more to disk, or to `/dev/shm`, than its limit; the message names it.",
        advice=(
            "Platform team: raise `trainer.scratch`, `trainer.prepare.scratch` or `trainer.sharedMemory` of the "
            "chart. Or use a smaller dataset or model."
        ),
        remedy=(
            "Ask the platform team to raise trainer.scratch (of prepare pods: trainer.prepare.scratch) of the "
            "chart, or use a smaller dataset or model," + AGAIN
        ),
    ),
    Reason.QUALITY_GATE_FAILED: ReasonFacts(
        meaning="The adapter was published but missed a limit of `evaluation.gate`; `status.artifact` is set.",
        advice="Read the report; improve data or recipe, or relax the gate.",
        remedy="Look at the report; train longer, improve the data or relax evaluation.gate.",
    ),
}
