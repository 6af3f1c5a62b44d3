"""Turns of conversations as files have them, and their way through the pipeline with a published chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lora_trainer.data import pipeline, prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from support.prepared_data import data_file, lines, spec
from support.published_templates import template

QUESTION = {"role": "user", "content": "Weather in Oslo?"}
REST = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes, sure."}]


def answer(text: str | None, **more: Any) -> dict[str, Any]:
    """A turn of the assistant."""
    return {"role": "assistant", "content": text, **more}


def call(arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A call of the tool in `published_templates.TOOLS`."""
    function = {"name": "get_weather", "arguments": {"city": "Oslo"} if arguments is None else arguments}
    return {"id": "call00001", "type": "function", "function": function, **more}


def result(text: str = "heavy rain", **more: Any) -> dict[str, Any]:
    """The result of that call."""
    return {"role": "tool", "tool_call_id": "call00001", "content": text, **more}


def prepared_with(folder: Path, name: str, rows: list[Any], **changes: Any) -> tuple[DataProfile, list[dict[str, Any]]]:
    """Prepare rows with a published template."""
    into = folder / "out"
    into.mkdir(parents=True)
    files = Dataset([data_file(folder, "a.jsonl", lines(rows))])
    profile = pipeline.run(spec(**{"training__maxLength": 8192, **changes}), files, template(name), into)
    return profile, pq.read_table(into / prepared.TRAIN).to_pylist()
