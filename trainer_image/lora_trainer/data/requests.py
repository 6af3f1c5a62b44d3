"""What `prepare` asks of the process that reads data and model files, and its answers: one JSON document a line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from lora_contract.base import Model
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import ChatSpec, LoRAFineTuneSpec
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.reading.files import Compression, DataFile, Kind
from lora_trainer.data.splits import Split
from lora_trainer.errors import TrainerError

#: Longest line of an answer in bytes: samples of a few rows of at most 1 MiB each.
MAX_ANSWER_BYTES = 64 << 20


class File(Model):
    """One file of the dataset on this machine."""

    part: Split | None = Field(None, description="Split that all its rows belong to; absent: they are split.")
    name: str = Field(description="Name as in messages.")
    path: str = Field(description="Where it lies.")
    kind: Kind = Field(description="What it holds.")
    compression: Compression = Field(description="How it is compressed.")
    source: str = Field("", description="Name of the source that it belongs to; empty: none.")


class ModelRequest(Model):
    """Load and check a tokenizer with its chat template."""

    model: str = Field(description="Name of the model in messages.")
    folder: str = Field(description="Folder of its tokenizer files.")
    embeddings: int = Field(description="Tokens that the model has an embedding for.")
    renders: bool = Field(True, description="Whether rows are rendered with its chat template.")
    chat: ChatSpec = Field(ChatSpec(), description="How its chat template is changed.")


class TokensFile(Model):
    """Where the tokens of a source lie on this machine."""

    source: str = Field(description="Name of the source.")
    found: str | None = Field(None, description="What an earlier prepare left; absent: nothing.")
    into: str = Field(description="Where they are written for the next one, where some are new.")


class RowsRequest(Model):
    """Read and tokenise the dataset with the model that was checked last."""

    spec: LoRAFineTuneSpec = Field(description="The run whose rows are read.")
    files: list[File] = Field(description="The dataset, in the order in which it is read.")
    into: str = Field(description="Folder for the tokenised rows.")
    today: date | None = Field(None, description="Date for a template that reads the clock.")
    tokens: list[TokensFile] = Field([], description="Tokens of sources.")

    def dataset(self) -> Dataset:
        """Group the files by purpose."""
        parts: dict[Split | None, list[DataFile]] = {}
        for file in self.files:
            data_file = DataFile(file.name, Path(file.path), file.kind, file.compression, file.source)
            parts.setdefault(file.part, []).append(data_file)
        return Dataset(parts.get(None, []), parts.get("validation", []), parts.get("test", []))


class Request(Model):
    """One of the two."""

    check_model: ModelRequest | None = None
    read_rows: RowsRequest | None = None


class Failure(Model):
    """A `TrainerError` on its way to the process that asked."""

    exit_code: ExitCode = Field(description="How the stage ends.")
    message: str = Field(description="What was wrong.")
    param: str | None = Field(None, description="Field of the spec, or file and line.")
    hint: str | None = Field(None, description="What to do.")

    @classmethod
    def of(cls, error: TrainerError) -> Self:
        """Make the failure that stands for an error."""
        return cls(exit_code=error.exit_code, message=error.message, param=error.param, hint=error.hint)

    def error(self) -> TrainerError:
        """Make the error to raise."""
        return TrainerError(self.exit_code, self.message, param=self.param, hint=self.hint)


class TokenizerFacts(Model):
    """What `prepare` has to know of a tokenizer and its chat template."""

    reads_clock: bool = Field(description="Whether the chat template asks for today's date.")
    template: str | None = Field(None, description="sha256 of the chat template, where rows are rendered with it.")
    without_embedding: dict[str, int] = Field(description="Tokens, by text, whose id the model has no embedding for.")


class Answer(Model):
    """What came of a request."""

    version: Literal[1] = 1
    tokenizer: TokenizerFacts | None = Field(None, description="What the tokenizer is like.")
    profile: DataProfile | None = Field(None, description="What the rows are like.")
    tokens_made: dict[str, int] = Field({}, description="Rows of each source in `tokens` whose tokens were not found.")
    failure: Failure | None = Field(None, description="Why it failed; absent: it did not.")
