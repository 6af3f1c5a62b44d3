"""spec.dataset: where the rows are, how they read and how they are split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import StorageUri, documented

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ColumnsSpec(SpecModel):
    """Names of the columns, where they differ from the usual ones."""

    messages: ColumnName | None = documented(None, "Column with the list of chat messages.", "conversation")
    prompt: ColumnName | None = documented(None, "Column with the prompt or instruction.", "question")
    input: ColumnName | None = documented(None, "Column with additional input of an instruction.", "context")
    completion: ColumnName | None = documented(None, "Column with the answer to learn.", "answer")
    text: ColumnName | None = documented(None, "Column with the document, for format text.", "content")
    tools: ColumnName | None = documented(None, "Column with the tools that are offered; usually tools.", "functions")


class SplitSpec(SpecModel):
    """A seeded split of one dataset. Rows that are equal after normalising never lie in two splits."""

    validation: float = documented(
        0.1, "Share of the rows held out for evaluation during training, 0 to 0.5.", 0.1, ge=0, le=0.5
    )
    test: float = documented(
        0.1, "Share of the rows held out for the final comparison with the base model, 0 to 0.5.", 0.1, ge=0, le=0.5
    )
    seed: int = documented(42, "Seed of the split; the same seed gives the same split.", 42, ge=0, le=2**31 - 1)


class DatasetSpec(SpecModel):
    """The training data."""

    uri: StorageUri = documented(
        ...,
        "Object or prefix with jsonl, json, csv or parquet files, plain or gz or zst. Files of a prefix that are named"
        " as a validation or test split, as on the Hugging Face Hub, are that split.",
        "s3://datasets/triage.jsonl",
    )
    format: Literal["auto", "messages", "prompt-completion", "instruction", "text", "tokens"] = documented(
        "auto",
        "Shape of a row; auto detects conversations from the columns and reports what it found. text: documents, of"
        " which every token is learned, as in pre-training; tokens: input_ids, with labels where not all count. These"
        " two need no chat template.",
        "messages",
    )
    columns: ColumnsSpec = documented(ColumnsSpec(), "Column names where they differ from the usual.", {"prompt": "q"})
    system_prompt: Annotated[str, StringConstraints(max_length=8192)] = documented(
        "", "System message put before every conversation that has none; at most 8192 characters.", "You are a nurse."
    )
    split: SplitSpec = documented(SplitSpec(), "Held-out shares, where no own URI is given.", {"validation": 0.1})
    validation_uri: StorageUri | None = documented(
        None, "Rows for evaluation during training, instead of split.validation.", "s3://datasets/validation.jsonl"
    )
    test_uri: StorageUri | None = documented(
        None, "Rows for the final comparison, instead of split.test.", "s3://datasets/test.jsonl"
    )
    ignore_keys: list[ColumnName] = documented(
        [],
        "Keys of messages, and columns, that mean nothing for training and are left out. Any other key with a value"
        " that is not understood makes a row bad.",
        ["annotations"],
        max_length=64,
    )
    on_bad_rows: Literal["Fail", "Skip"] = documented(
        "Fail", "Fail: the first bad row ends the run before a GPU is asked for. Skip: leave bad rows out.", "Fail"
    )
    max_bad_rows: int = documented(
        100, "With onBadRows Skip: rows that may be left out before the run fails.", 100, ge=0, le=1_000_000
    )

    @property
    def is_chat(self) -> bool:
        """Whether rows are conversations, which a chat template renders."""
        return self.format not in ("text", "tokens")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.systemPrompt == '' || !(self.format in ['text', 'tokens'])",
            message="dataset.systemPrompt has no place in rows of the formats text and tokens; remove it",
            holds=lambda d: not d.system_prompt or d.is_chat,
        ),
        Rule(
            cel="self.split.validation + self.split.test < 1.0",
            message="dataset.split.validation + dataset.split.test must be below 1; leave rows to train on",
            holds=lambda d: d.split.validation + d.split.test < 1,
        ),
    )
