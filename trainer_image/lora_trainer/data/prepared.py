"""The hand-over from `prepare` to `train`: tokenised rows as Parquet below `RunLayout.prepared`.

    train.parquet        input_ids, targets, length, weights
    validation.parquet   input_ids, targets, length, weights      (absent when there are no such rows)
    test.parquet         input_ids, targets, length, prompt_ids, reference, tool_calls, weights
    chat_template.jinja  the chat template with what spec.chat changes (absent where that changes nothing)
    data.json            DataProfile: what the report shows of the data
    plan.json            lora_contract.status.PlanStatus; written last, by conditional PUT: it marks completeness

A run with dataset.sources has one column more in all three, `source`: int16, the number of the row's source among the
names of the sources in their order, -1 for rows of dataset.validationUri and testUri.

`input_ids`: list<int32>, one whole conversation with special tokens. `targets`: list<bool> of the same length,
true where the token counts for the loss (never at position 0). `length`: int32. `prompt_ids`: list<int32>, the
conversation up to and including the generation prompt of its last answer; `reference`: that answer as text.
`tool_calls`: the calls of that answer as JSON (see `calls_as_text`); null where the conversation has no tools.

Rows of preferences have one column more in all three. With method dpo a row is a pair, two copies of the prompt with an
answer each behind one another, the chosen one first; `rejected_from`: int32, where the other copy begins. `length`
counts both; prompt and reference are those of the chosen answer. With method kto a row is a prompt with one answer;
`desirable`: bool, whether it is wanted.

`weights`: list<float> of the same length as `targets`: how much the loss at each target counts, above 0 and at most 1;
null where each counts 1. The column is there only where a row of the file has some.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lora_trainer.data.rows import ToolCall

TRAIN = "train.parquet"
VALIDATION = "validation.parquet"
TEST = "test.parquet"
CHAT_TEMPLATE = "chat_template.jinja"
PROFILE = "data.json"

ROW_SCHEMA = pa.schema(
    [
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("targets", pa.list_(pa.bool_()), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
    ]
)
TEST_SCHEMA = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("reference", pa.string(), nullable=False),
        pa.field("tool_calls", pa.string()),
    ]
)

#: Number of a row that belongs to no source.
NO_SOURCE = -1
SOURCE = pa.field("source", pa.int16(), nullable=False)
WEIGHTS = pa.field("weights", pa.list_(pa.float32()))
#: What rows of preferences say beside tokens and targets.
REJECTED_FROM = pa.field("rejected_from", pa.int32(), nullable=False)
DESIRABLE = pa.field("desirable", pa.bool_(), nullable=False)

_TOKEN_COLUMNS = ("input_ids.", "prompt_ids.")


def calls_as_text(calls: Iterable[ToolCall]) -> str:
    """Write calls as a JSON array of names and arguments."""
    return json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls])


def calls_of_text(text: str) -> tuple[ToolCall, ...]:
    """Read what `calls_as_text` wrote."""
    return tuple(ToolCall(call["name"], call["arguments"]) for call in json.loads(text))


def largest_token(folder: Path) -> int:
    """Find the largest token id in the files of a folder, by the statistics that Parquet keeps; -1 without rows."""
    largest = -1
    for path in folder.glob("*.parquet"):
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                if column.path_in_schema.startswith(_TOKEN_COLUMNS) and column.statistics is not None:
                    largest = max(largest, column.statistics.max or -1)
    return largest
