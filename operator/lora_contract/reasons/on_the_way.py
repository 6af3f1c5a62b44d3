"""Reasons on the way of a run: nothing is wrong."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode
from lora_contract.reasons.facts import ReasonFacts
from lora_contract.reasons.reason import Reason

REASONS = {
    Reason.SPEC_ACCEPTED: ReasonFacts(
        meaning="The spec can be run on this platform.",
        advice="Nothing.",
    ),
    Reason.PENDING: ReasonFacts(
        meaning="The run was seen; nothing is started yet.",
        advice="Nothing.",
    ),
    Reason.WAITING_FOR_RUN: ReasonFacts(
        meaning=(
            "The run that `from.run` names has published no adapter yet, or does not exist; the message names it and "
            "says what it does. No pod runs, and the wait has no end of its own."
        ),
        advice="Nothing, or apply the run that is missing. See [going on from an adapter](going-on.md).",
    ),
    Reason.PREPARING: ReasonFacts(
        meaning="A CPU pod checks model and data and tokenises them. No GPU is held.",
        advice="Nothing.",
    ),
    Reason.DATA_PREPARED: ReasonFacts(
        meaning="Prepare is done; `status.plan` says what it found.",
        advice="Look at `status.plan` and `status.warnings`.",
    ),
    Reason.QUEUED: ReasonFacts(
        meaning="The train Job waits in its Kueue queue; the message quotes Kueue.",
        advice="Wait, or read [waiting in a queue](#waiting-in-a-queue).",
    ),
    Reason.IDENTICAL_RUN_TRAINING: ReasonFacts(
        meaning=(
            "Another run of this namespace trains, or is to train, the same recipe on the same model and data "
            "into the same output; the message names it and says until when it is waited for."
        ),
        advice="Nothing: this run takes no GPU, and adopts the adapter or goes on in its place.",
    ),
    Reason.IDENTICAL_RUN_ENDED: ReasonFacts(
        meaning=(
            "The identical run that this one waited for ended, or took too long: prepare looks in S3 for its adapter."
        ),
        advice="Nothing.",
    ),
    Reason.STARTING: ReasonFacts(
        meaning="The train pod is created or starts, for the first time or again.",
        advice="Nothing; after a failure the last attempt says why.",
    ),
    Reason.TRAINING: ReasonFacts(
        meaning="The train pod runs.",
        advice="Nothing.",
    ),
    Reason.PUBLISHING: ReasonFacts(
        meaning="Training is over; the adapter is evaluated, verified by reloading and published.",
        advice="Nothing.",
    ),
    Reason.ADAPTER_PUBLISHED: ReasonFacts(
        meaning="The adapter is in S3 at `status.artifact.uri`.",
        advice="Serve it.",
    ),
    Reason.ADOPTED_EXISTING_ARTIFACT: ReasonFacts(
        meaning="The same recipe, model and data were trained before; that adapter is used, nothing was trained.",
        advice="Nothing. Change `runToken` to train again on purpose.",
    ),
    Reason.SUSPENDING: ReasonFacts(
        meaning="The run is being suspended: its pod saves a checkpoint and holds its GPU until it has ended.",
        advice="Wait: at most two minutes.",
    ),
    Reason.SUSPENDED: ReasonFacts(
        meaning=(
            "`spec.suspend` is true; pods were stopped after a checkpoint. As the reason of an attempt: it ended "
            "by that."
        ),
        advice="Set `spec.suspend: false` to go on.",
        counts_as_retry=False,
    ),
    Reason.NOT_SUSPENDED: ReasonFacts(
        meaning="The run is not suspended.",
        advice="Nothing.",
    ),
    Reason.RUN_SUPERSEDED: ReasonFacts(
        meaning="`runToken`, or under `updatePolicy: Rerun` the training spec, changed: a new run began.",
        advice="Nothing. The earlier adapter stays in S3.",
    ),
    Reason.INPUTS_UNCHANGED: ReasonFacts(
        meaning="`spec.checkToken` asked, and the data is what the adapter was trained on.",
        advice="Nothing.",
    ),
    Reason.DATASET_CHANGED: ReasonFacts(
        meaning=(
            "`spec.checkToken` asked, and the data at the same address is not what the adapter was trained on: "
            "`InputsDrifted` is True. The run stays finished."
        ),
        advice="To train on the new data, change `spec.runToken`.",
    ),
    Reason.SUCCEEDED: ReasonFacts(
        meaning="The pod did its work.",
        advice="Nothing.",
        counts_as_retry=False,
    ),
    Reason.CHECKPOINTED: ReasonFacts(
        exit_code=ExitCode.CHECKPOINTED,
        meaning="The pod was asked to stop, saved a checkpoint and ended. It counts against nothing.",
        advice="Nothing; it goes on from there.",
        counts_as_retry=False,
    ),
}
