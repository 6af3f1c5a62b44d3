"""The hand-over from `prepare` to `train`: tokenised rows as Parquet below `RunLayout.prepared`.

    train.parquet        input_ids, targets, length
    validation.parquet   input_ids, targets, length               (absent when there are no such rows)
    test.parquet         input_ids, targets, length, prompt_ids, reference
    chat_template.jinja  the chat template with what spec.chat changes (absent where that changes nothing)
    data.json            DataProfile: what the report shows of the data
    plan.json            lora_contract.status.PlanStatus; written last, by conditional PUT: it marks completeness

`input_ids`: list<int32>, one whole conversation with special tokens. `targets`: list<bool> of the same length,
true where the token counts for the loss (never at position 0). `length`: int32. `prompt_ids`: list<int32>, the
conversation up to and including the generation prompt of its last answer; `reference`: that answer as text.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

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
    ]
)

_TOKEN_COLUMNS = ("input_ids.", "prompt_ids.")


def largest_token(folder: Path) -> int:
    """The largest id of a token in the files below a folder, by the statistics that Parquet keeps; -1 without rows."""
    largest = -1
    for path in folder.glob("*.parquet"):
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                if column.path_in_schema.startswith(_TOKEN_COLUMNS) and column.statistics is not None:
                    largest = max(largest, column.statistics.max or -1)
    return largest
