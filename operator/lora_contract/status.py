"""The status of a LoRAFineTune. Numbers that are not whole are decimal strings, as API conventions ask."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from lora_contract.base import StatusModel
from lora_contract.conditions import MAX_MESSAGE_LENGTH, ConditionedStatus
from lora_contract.estimate import EstimateStatus
from lora_contract.preference_status import PreferencesPlanStatus
from lora_contract.serving import MOST_SERVERS, ServingStatus
from lora_contract.source_status import SourceMetricsStatus, SourcePlanStatus

MAX_ATTEMPTS = 10
#: Pattern of a sha256 in hexadecimal digits.
SHA256 = r"^[0-9a-f]{64}$"
#: Of the S3 prefix of an adapter, characters.
MAX_URI_LENGTH = 1024


class Phase(StrEnum):
    """A one-word summary for people; programs use the conditions."""

    PENDING = "Pending"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    RUNNING = "Running"
    PUBLISHING = "Publishing"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


def field(text: str, *, limit: int | None = None) -> str | None:
    """Define an optional string of the status, with its explanation."""
    return Field(None, description=text, max_length=limit)


class MemoryStatus(StatusModel):
    """What the least memory of one GPU is made of, in bytes: one row a pass, activations computed again."""

    weights_bytes: int = Field(description="Weights of the base model, quantised as the spec says.")
    nf4_weights_bytes: int = Field(description="The same with quantization.type nf4 and doubleQuant.")
    adapter_bytes: int = Field(description="The adapter, its gradients and the optimiser's state.")
    activation_bytes: int = Field(description="Activations of the longest row.")
    logit_bytes: int = Field(description="Logits that exist at the same time.")
    context_bytes: int = Field(description="CUDA context and kernels.")
    row_tokens: int = Field(
        description="Tokens of the longest row, cut at training.maxLength; of a pair those of both copies."
    )

    @property
    def total_bytes(self) -> int:
        """All of it."""
        fixed = self.weights_bytes + self.adapter_bytes + self.context_bytes
        return fixed + self.activation_bytes + self.logit_bytes


class AnswersStatus(StatusModel):
    """Answers of the assistant by whether they count for the loss, and why not."""

    trained: int = Field(0, description="Answers that count.")
    weighted: int = Field(0, description="Of these, answers whose row gives them a weight between 0 and 1.")
    without_reasoning: int = Field(0, description="Of these, answers that begin with an empty think block.")
    weight: int = Field(0, description="Answers that do not, because their row gives them weight 0.")
    train: int = Field(0, description="Answers that do not, because their row says train: false.")
    earlier: int = Field(0, description="Answers that do not, because training.trainOn is last and they are not.")


class PlanStatus(StatusModel):
    """What prepare found out before any GPU was asked for."""

    rows_read: int | None = Field(None, description="Rows that the files hold, those left out included.")
    rows: int = Field(description="Training rows after checks and split.")
    conversations: int | None = Field(
        None, description="Conversations they come from: a chat template that rewrites turns makes several rows of one."
    )
    answers: AnswersStatus | None = Field(None, description="Answers of all splits by whether they count.")
    unrolling_tokens: int = Field(
        0, description="Of tokens, those that are there again because the chat template rewrites earlier turns."
    )
    validation_rows: int = Field(0, description="Rows held out for evaluation during training.")
    evaluation_rows: int | None = Field(
        None, description="Validation rows that each evaluation during training takes, to cost a tenth of the time."
    )
    test_rows: int = Field(0, description="Rows held out for the final comparison.")
    bad_rows: int = Field(0, description="Rows left out because they were bad (onBadRows Skip).")
    duplicate_rows: int = Field(0, description="Rows left out because they repeat another.")
    rows_without_target: int = Field(
        0, description="Rows left out because cutting at training.maxLength left nothing of their answers."
    )
    truncated_rows: int = Field(0, description="Rows cut at training.maxLength.")
    longest_row: int | None = Field(None, description="Tokens of the longest row before it was cut.")
    epoch_rows: int | None = Field(
        None, description="Training rows of an epoch with repeats and shares of the sources. Absent: those of rows."
    )
    sources: list[SourcePlanStatus] | None = Field(
        None, description="What was found of each source of dataset.sources, by name.", max_length=16
    )
    preferences: PreferencesPlanStatus | None = Field(
        None, description="What was found of preferences. Absent: the run has no method."
    )
    tokens: int = Field(description="Tokens of the training rows.")
    target_tokens: int = Field(0, description="Tokens of the training rows that count for the loss.")
    weighted_target_tokens: int = Field(0, description="Of these, tokens whose loss has a weight between 0 and 1.")
    total_steps: int = Field(description="Optimiser steps of the run.")
    estimated_seconds: int | None = Field(None, description="Expected training time in seconds, once steps were timed.")
    estimate: EstimateStatus | None = Field(
        None, description="What the train pod is expected to take. Absent: no earlier run is like this one."
    )
    memory_bytes: int = Field(0, description="Estimate of the least memory of one GPU, one row a pass, in bytes.")
    memory: MemoryStatus | None = Field(None, description="What memoryBytes is made of.")
    fits: bool | None = Field(None, description="Whether the estimate fits a GPU of the cluster; absent: not known.")
    format: str | None = field("Format of the rows, given or detected.")
    dataset_digest: str | None = field("sha256 over the content of the dataset.")
    model_commit: str | None = field("Commit, or digest of the files, of the base model.")
    template_date: str | None = field(
        "Date that the chat template writes into every row: the UTC day of the run's first preparation."
        " Absent: the template writes none."
    )


class ProgressStatus(StatusModel):
    """Where training is. Best effort: the result never depends on it."""

    step: int = Field(description="Optimiser steps done.")
    total_steps: int = Field(description="Optimiser steps of the run.")
    percent: int = Field(description="Steps done in percent.")
    summary: str | None = field("Steps and percent in words, for the PROGRESS column.")
    eta_seconds: int | None = Field(None, description="Expected seconds until the last step.")
    eta: str | None = field("The same in words, for the ETA column.")
    tokens_per_second: int | None = Field(None, description="Non-padding tokens a second.")
    last_update_time: str | None = field("When the pod last reported, RFC 3339.")


class ToolCallsStatus(StatusModel):
    """What became of tool calls in the generated answers to test rows that offer tools."""

    share: str | None = field("rightRows divided by rows, which evaluation.gate.minToolCalls is about.")
    rows: int = Field(0, description="Answers to rows that offer tools.")
    right_rows: int = Field(0, description="Of these, answers with all the calls of the reference and no other.")
    wanted: int = Field(0, description="Calls in the references.")
    right_names: int = Field(0, description="Of these, calls that were made, whatever their arguments.")
    right_calls: int = Field(0, description="Of these, calls that were made with the right arguments.")
    missing: int = Field(0, description="Calls that were wanted where fewer were made.")
    unwanted: int = Field(0, description="Calls that were made where fewer were wanted, or none.")
    unreadable: int = Field(0, description="Calls that were begun and cannot be parsed.")


class PreferencesStatus(StatusModel):
    """What a model prefers on the test rows of preference tuning; docs/methods.md says how each is measured."""

    accuracy: str | None = field("Share of test rows of which it prefers what the row prefers.")
    margin: str | None = field("How much more what is preferred is rewarded than what is not, a mean.")
    kl: str | None = field("Estimated KL divergence to the base model, in nats per answer.")
    chosen_loss: str | None = field("Loss on the chosen answers, in nats per token.")
    length_ratio: str | None = field("Characters of its generated answers by those of the chosen ones.")


class MetricsStatus(StatusModel):
    """Losses in nats per target token (with method: what docs/methods.md says), decimal strings."""

    train_loss: str | None = field("Loss on the latest training steps.")
    eval_loss: str | None = field("Loss of the latest evaluation.")
    best_eval_loss: str | None = field("Lowest evaluation loss; the adapter of that step is published.")
    best_step: int | None = Field(None, description="Step of the lowest evaluation loss.")
    best_eval_accuracy: str | None = field("Share of validation rows of which it prefers what the row prefers, there.")
    base_test_loss: str | None = field("Loss of the base model on the test rows.")
    parent_test_loss: str | None = field("Loss of the adapter in spec.from on the test rows.")
    test_loss: str | None = field("Loss of the adapter on the test rows.")
    base_general_loss: str | None = field("Loss of the base model on general text that comes with the trainer.")
    general_loss: str | None = field("Loss of the adapter on the same text; much above the base's: it forgot skills.")
    exact_match: str | None = field("Share of generated answers that equal the reference.")
    json_valid: str | None = field("Share of generated answers that are valid JSON, where references are JSON.")
    json_fields: str | None = field("Share of right fields in generated JSON answers.")
    base_json_fields: str | None = field("The same for the base model.")
    tool_calls: ToolCallsStatus | None = Field(
        None, description="Tool calls in generated answers; absent where no answered row offers tools."
    )
    base_tool_calls: ToolCallsStatus | None = Field(None, description="The same for the base model.")
    preferences: PreferencesStatus | None = Field(None, description="What the adapter prefers; with spec.method.")
    base_preferences: PreferencesStatus | None = Field(None, description="What the base model prefers.")
    sources: list[SourceMetricsStatus] | None = Field(
        None, description="Losses on the held-out rows of each source of dataset.sources, by name.", max_length=16
    )


class AttemptStatus(StatusModel):
    """One pod that trained, or tried to."""

    pod: str | None = field("Name of the pod.")
    job: str | None = field("Name of the Job.")
    job_uid: str | None = field("uid of the Job: one that is made again has the same name.")
    stage: str = Field("train", description="prepare or train.")
    node: str | None = field("Node that ran it.")
    start_time: str | None = field("When its container started, RFC 3339.")
    end_time: str | None = field("When it ended, RFC 3339.")
    reason: str | None = field("Why it ended; absent while it runs.")
    message: str | None = field("What it said.", limit=MAX_MESSAGE_LENGTH)
    exit_code: int | None = Field(None, description="Exit code of the container.")
    from_step: int | None = Field(None, description="Step of the checkpoint it started from; 0: from the beginning.")
    last_step: int | None = Field(None, description="Last step known of it.")


class UsageStatus(StatusModel):
    """Where the time went, in seconds.

    The first four add up to the wall time from startTime to completionTime; GPU and idle seconds lie within the last.
    """

    staging_seconds: int = Field(0, description="From the start of the run to the end of prepare; no GPU is held.")
    queue_seconds: int = Field(0, description="Every wait for a running train pod: for quota, a node, an image.")
    suspended_seconds: int = Field(0, description="Suspended by spec.suspend.")
    train_seconds: int = Field(0, description="A train container ran.")
    gpu_seconds: int = Field(0, description="GPUs times seconds that train containers ran.")
    gpu_idle_seconds: int = Field(0, description="Of these, before the first and after the last step.")
    cost: str | None = field("GPU seconds at the platform's price, a decimal; absent where it names none.")
    currency: str | None = field("Currency of the cost.")
    lost_steps: int = Field(0, description="Steps done again because no checkpoint held them.")


class QueueStatus(StatusModel):
    """Where a run that waits for quota stands."""

    local_queue: str = Field(description="The LocalQueue of Kueue.")
    position: int | None = Field(
        None, description="Place in the LocalQueue, 1 is next; exact to 10, then rounded up. Absent: not known."
    )
    reason: str | None = field("Kueue's word for why the run waits.", limit=128)
    since: str | None = field("When this wait began, RFC 3339; usage.queueSeconds counts all waits once they end.")
    evicted_because: str | None = field("Kueue's words for taking the quota back, where it did.", limit=1024)


class InputsStatus(StatusModel):
    """What the latest check of the inputs found; the condition InputsDrifted says what it means."""

    check_token: str = Field(description="The spec.checkToken that asked.")
    check_time: str = Field(description="When the data was read, RFC 3339.")
    dataset_digest: str | None = field("sha256 over the content of the dataset as found.")


class ArtifactStatus(StatusModel):
    """The published adapter."""

    uri: str = Field(description="S3 prefix of the adapter's files.")
    manifest_digest: str = Field(description="sha256 of manifest.json, which holds the sha256 of every file.")
    size_bytes: int = Field(description="Size of all files in bytes.")
    base_model: str = Field(description="Name of the base model to serve it on.")
    required_max_lora_rank: int = Field(
        description="Rank the server must allow: the least value of vLLM's --max-lora-rank that is enough."
    )
    report_uri: str | None = field("The HTML report.")
    serving: list[ServingStatus] | None = Field(
        None, description="Which servers load the adapter as it is, and how.", max_length=MOST_SERVERS
    )


class ParentStatus(StatusModel):
    """The adapter that a run goes on from, as it was when the run first saw it."""

    run: str | None = field("LoRAFineTune that published it, where spec.from names one.", limit=253)
    uri: str = Field(description="S3 prefix of the adapter's files.", max_length=MAX_URI_LENGTH)
    manifest_digest: str = Field(description="sha256 of its manifest.json.", pattern=SHA256)


class ErrorStatus(StatusModel):
    """Why the run failed."""

    code: str = Field(description="The reason, one word.")
    message: str = Field(description="What was wrong.", max_length=MAX_MESSAGE_LENGTH)
    param: str | None = field("Field of the spec, or file and line, that it is about.")
    hint: str | None = field("What to do.", limit=MAX_MESSAGE_LENGTH)


class LoRAFineTuneStatus(ConditionedStatus):
    """Everything that happened, readable on the object."""

    phase: Phase | None = Field(None, description="A one-word summary for people; programs use the conditions.")
    spec_hash: str | None = field("Hash of the training-relevant spec.")
    run_id: str | None = field("Identity of the result: hash of spec, model commit, data and runToken.")
    run_token: str | None = field("The runToken that this status is about.")
    start_time: str | None = field("When the run was first seen, RFC 3339.")
    completion_time: str | None = field("When the run finished, RFC 3339.")
    parent: ParentStatus | None = Field(None, description="The adapter that the run goes on from.")
    plan: PlanStatus | None = Field(None, description="What prepare found out.")
    progress: ProgressStatus | None = Field(None, description="Where training is.")
    metrics: MetricsStatus | None = Field(None, description="Losses so far.")
    attempts: list[AttemptStatus] = Field([], description="The latest pods of this run, at most 10.")
    queue: QueueStatus | None = Field(None, description="Where the run stands in its queue, while it waits in one.")
    usage: UsageStatus | None = Field(None, description="Where the time went.")
    artifact: ArtifactStatus | None = Field(None, description="The published adapter.")
    inputs: InputsStatus | None = Field(None, description="The latest check of the inputs.")
    error: ErrorStatus | None = Field(None, description="Why the run failed.")
    warnings: list[str] = Field([], description="Things to know that did not stop the run.")
