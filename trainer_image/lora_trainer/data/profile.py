"""What the report shows of the data (data.json)."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lora_contract.base import StatusModel
from lora_contract.status import AnswersStatus
from lora_trainer.data.rows import Conversation, Message
from lora_trainer.data.thought import ThoughtForm
from lora_trainer.data.tool_calls.form import ToolCallForm

HISTOGRAM_BINS = 20
MAX_BAD_ROW_EXAMPLES = 20
MAX_SAMPLES = 5
_MAX_SAMPLE_TEXT = 2000
_MAX_SAMPLE_TURNS = 50


class Segment(StatusModel):
    """A run of tokens that all count for the loss, or all do not, as text."""

    text: str = Field(description="The decoded tokens.")
    target: bool = Field(description="Whether they count for the loss.")
    weight: float | None = Field(None, description="How much they count, between 0 and 1; absent: fully, or not.")


class Turn(StatusModel):
    """One turn of a sample row."""

    role: str = Field(description="system, developer, user, assistant or tool; of a pair also: assistant (rejected).")
    content: str = Field(description="The text, cut at 2000 characters.")
    left_out: str | None = Field(None, description="Why an answer does not count; absent: it does, or is none.")


class FileProfile(StatusModel):
    """One file of the dataset."""

    name: str = Field(description="Name as in messages.")
    split: str = Field(description="dataset (to be split), validation or test.")
    source: str | None = Field(None, description="Source of dataset.sources that it belongs to; absent: none.")
    sha256: str = Field(description="Digest of the stored bytes.")
    size_bytes: int = Field(description="Stored size in bytes.")


class SourceProfile(StatusModel):
    """Figures of one source of dataset.sources."""

    name: str = Field(description="Name of the source.")
    rows: dict[str, int] = Field({}, description="Rows by split: train, validation, test.")
    tokens: int = Field(0, description="Tokens of the training rows.")
    duplicate_rows: int = Field(0, description="Rows dropped because they repeat another, of any source.")


class PreferencesProfile(StatusModel):
    """Figures of training rows that say what is preferred."""

    chosen_rows: int = Field(0, description="Rows with a preferred or wanted answer; of pairs: all.")
    rejected_rows: int = Field(0, description="Rows with a rejected or unwanted answer; of pairs: all.")
    chosen_tokens: int = Field(0, description="Tokens of preferred or wanted answers together.")
    rejected_tokens: int = Field(0, description="Tokens of rejected or unwanted answers together.")
    longest_sequence: int = Field(0, description="Tokens of the longest prompt with one answer, all splits.")
    most_targets: int = Field(0, description="Most tokens of a row that count, all splits.")


class DataProfile(StatusModel):
    """Figures and examples of the prepared data."""

    format: str = Field(description="Shape of the rows with the columns that were read.")
    ignored_columns: list[str] = Field([], description="Columns that were not read.")
    files: list[FileProfile] = Field([], description="Files in the order in which they were read.")
    rows_read: dict[str, int] = Field({}, description="Rows read by name of the file, bad and repeated ones included.")
    rows: dict[str, int] = Field({}, description="Rows by split: train, validation, test.")
    conversations: int = Field(0, description="Conversations that the training rows come from.")
    answers: AnswersStatus = Field(AnswersStatus(), description="Answers of all splits by whether they count.")
    unrolling_tokens: int = Field(
        0, description="Of `tokens`, those that are there again because the chat template rewrites earlier turns."
    )
    sources: list[SourceProfile] = Field([], description="Figures of each source of dataset.sources, by name.")
    tokens: int = Field(0, description="Tokens of the training rows.")
    target_tokens: int = Field(0, description="Of these, tokens that count for the loss.")
    weighted_target_tokens: int = Field(0, description="Of target_tokens, those that count less than 1.")
    target_share: float = Field(0, description="target_tokens / tokens.")
    truncated_rows: int = Field(0, description="Rows cut at training.maxLength, all splits.")
    truncated_share: float = Field(0, description="The same as a share of the rows.")
    rows_without_target: int = Field(0, description="Rows dropped because cutting left nothing to learn.")
    longest_row_without_target: int = Field(0, description="Tokens of the longest of these before it was cut.")
    duplicate_rows: int = Field(0, description="Rows dropped because they repeat another.")
    empty_documents: int = Field(0, description="Rows left out because their text is empty.")
    contradictions: int = Field(0, description="Rows of preferences that say the opposite of another row.")
    contradiction_examples: list[str] = Field([], description="Places of the first of these.")
    foreign_marks: int = Field(0, description="Rows whose texts have marks of other chat templates.")
    first_foreign_mark: str = Field("", description="The first of these marks, with its place.")
    bad_rows: int = Field(0, description="Rows left out because they were bad.")
    bad_row_examples: list[str] = Field([], description="The first bad rows, with place and reason.")
    longest_row: int = Field(0, description="Tokens of the longest row before it was cut.")
    mean_tokens: float = Field(0, description="Mean tokens of a row.")
    histogram_edges: list[int] = Field([], description="Upper edges of the bins of row length in tokens.")
    histogram_counts: list[int] = Field([], description="Rows in each bin, all splits.")
    test_rows_with_tools: int = Field(0, description="Test rows that offer tools.")
    tool_call_form: ToolCallForm | None = Field(
        None, description="How the chat template writes calls; absent: no test row offers tools, or it is not known."
    )
    schema_notes: list[str] = Field([], description="What of the schemas of tools is not read as it is written.")
    thought_form: ThoughtForm = Field(
        ThoughtForm(), description="What the chat template writes around what an answer thinks."
    )
    stop_tokens: list[int] = Field([], description="Tokens that end the answers, the most frequent first.")
    first_example: list[Segment] = Field([], description="The first training row as the model sees it.")
    preferences: PreferencesProfile | None = Field(None, description="Figures of preferences; absent: rows have none.")
    samples: list[list[Turn]] = Field([], description="The first rows.")
    warnings: list[str] = Field([], description="Things to know that did not stop the run.")

    def longest_sequence(self, max_length: int) -> int:
        """Tell the most tokens that the model reads in one go: of a pair those of one copy."""
        return min(self.longest_row, max_length) if self.preferences is None else self.preferences.longest_sequence


class Tally:
    """Counts rows as they pass."""

    def __init__(self, max_length: int) -> None:
        """Bins end at `max_length`, the longest a row can be."""
        self._edges = np.unique(np.ceil(np.linspace(0, max_length, HISTOGRAM_BINS + 1)[1:]).astype(np.int64))
        self._counts = np.zeros(len(self._edges), dtype=np.int64)
        self.rows = {"train": 0, "validation": 0, "test": 0}
        self._rows_of: Counter[tuple[str, str]] = Counter()
        self._tokens_of: Counter[str] = Counter()
        self.tokens = 0
        self.conversations = 0
        self.unrolling_tokens = 0
        self.target_tokens = 0
        self.weighted_target_tokens = 0
        self.all_tokens = 0
        self.truncated = 0
        self.without_target = 0
        self.longest_without_target = 0
        self.longest = 0

    def add(
        self,
        split: str,
        targets: npt.NDArray[np.bool_],
        full_length: int,
        *,
        last: bool,
        source: str = "",
        weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Count one row that is kept: which of its tokens count, and its length before it was cut.

        `last`: no further row comes of the same conversation. `source`: the name of the one that it is of. `weights`:
        how much each target counts, if not 1.
        """
        length = len(targets)
        self.rows[split] += 1
        self._rows_of[source, split] += 1
        self.all_tokens += length
        self.truncated += full_length > length
        self.longest = max(self.longest, full_length)
        self._counts[np.searchsorted(self._edges, length)] += 1
        if split == "train":
            self.tokens += length
            self._tokens_of[source] += length
            self.conversations += last
            self.unrolling_tokens += 0 if last else length
            self.target_tokens += int(np.count_nonzero(targets))
            if weights is not None:
                self.weighted_target_tokens += int(np.count_nonzero(weights[targets] != 1))

    def of_source(self, name: str, duplicates: int) -> SourceProfile:
        """Give the counts of one source, with the rows of it that repeat others."""
        rows = {split: self._rows_of[name, split] for split in self.rows}
        return SourceProfile(name=name, rows=rows, tokens=self._tokens_of[name], duplicate_rows=duplicates)

    def drop(self, full_length: int) -> None:
        """Count one row of which cutting left nothing to learn."""
        self.without_target += 1
        self.longest_without_target = max(self.longest_without_target, full_length)

    def fill(self, profile: DataProfile) -> DataProfile:
        """Copy the profile, with the counts filled in."""
        rows = sum(self.rows.values())
        return profile.model_copy(
            update={
                "rows": dict(self.rows),
                "conversations": self.conversations,
                "unrolling_tokens": self.unrolling_tokens,
                "tokens": self.tokens,
                "target_tokens": self.target_tokens,
                "weighted_target_tokens": self.weighted_target_tokens,
                "target_share": round(self.target_tokens / max(self.tokens, 1), 4),
                "truncated_rows": self.truncated,
                "truncated_share": round(self.truncated / max(rows, 1), 4),
                "rows_without_target": self.without_target,
                "longest_row_without_target": self.longest_without_target,
                "longest_row": self.longest,
                "mean_tokens": round(self.all_tokens / max(rows, 1), 1),
                "histogram_edges": self._edges.tolist(),
                "histogram_counts": self._counts.tolist(),
            }
        )


def sample(conversation: Conversation) -> list[Turn]:
    """Make a sample of a row for the report; of a pair the rejected answer comes last, with its role in words."""
    turns = [
        Turn(role=message.role, content=_spoken(message)[:_MAX_SAMPLE_TEXT], left_out=message.left_out)
        for message in islice(conversation.messages, _MAX_SAMPLE_TURNS)
    ]
    rejected = islice(conversation.rejected, _MAX_SAMPLE_TURNS)
    return turns + [
        Turn(role=f"{message.role} (rejected)", content=_spoken(message)[:_MAX_SAMPLE_TEXT]) for message in rejected
    ]


def _spoken(message: Message) -> str:
    """Join everything that a turn says into one text."""
    calls = [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in message.tool_calls]
    return "\n".join(part for part in (message.reasoning, message.content, *calls) if part)
