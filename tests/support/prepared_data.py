"""Runs the data pipeline on files that a test writes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import pipeline, prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.reading.files import DataFile, classify
from lora_trainer.data.template.chat_template import ChatTemplate
from support.chat_models import tokenizer
from support.specs import changed


def spec(**changes: Any) -> LoRAFineTuneSpec:
    """The least spec with changes such as `dataset__systemPrompt="..."`; nothing is held out unless a test says so."""
    base = {"dataset.split": {"validation": 0, "test": 0}}
    paths = {key.replace("__", "."): value for key, value in changes.items()}
    return LoRAFineTuneSpec.model_validate(changed(base | paths))


def template(family: str = "chatml") -> ChatTemplate:
    """The checked chat template of a family."""
    made = ChatTemplate(tokenizer(family), f"example/{family}")
    made.check()
    return made


def chat(*texts: str, system: str | None = None) -> dict[str, Any]:
    """A messages row: user and assistant in turn."""
    turns = [{"role": "system", "content": system}] if system is not None else []
    roles = ("user", "assistant")
    return {"messages": turns + [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]}


def lines(rows: Iterable[Any]) -> bytes:
    """Rows as jsonl."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def data_file(folder: Path, name: str, content: bytes) -> DataFile:
    """A file of the dataset; `.gz` is compressed here."""
    kind, compression = classify(name)
    path = folder / name.replace("/", "-")
    path.write_bytes(gzip.compress(content) if compression == "gz" else content)
    return DataFile(name, path, kind, compression)


@dataclass(frozen=True)
class Result:
    """What the pipeline wrote and said."""

    profile: DataProfile
    folder: Path

    def rows(self, name: str = prepared.TRAIN) -> list[dict[str, Any]]:
        """The tokenised rows of a split."""
        path = self.folder / name
        return pq.read_table(path).to_pylist() if path.exists() else []


def run(
    folder: Path,
    files: Sequence[DataFile],
    *,
    family: str = "chatml",
    validation: Sequence[DataFile] = (),
    test: Sequence[DataFile] = (),
    **changes: Any,
) -> Result:
    """Run the pipeline below `folder`."""
    into = folder / "out"
    into.mkdir(exist_ok=True)
    profile = pipeline.run(spec(**changes), Dataset(files, validation, test), template(family), into)
    return Result(profile, into)
