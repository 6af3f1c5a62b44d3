"""`weight` of a message between 0 and 1 becomes the weight of its tokens; rows without are what they were."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data import prepared, writer
from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.conversations import QUESTION, REST, answer, prepared_with
from support.prepared_data import Result, chat, data_file, lines, run


def _run(folder: Path, *turns: Any, **changes: Any) -> Result:
    return run(folder, [data_file(folder, "a.jsonl", lines([{"messages": list(turns)}]))], **changes)


def _weighed(row: dict[str, Any]) -> dict[str, float]:
    """The weight of each stretch of targets, by its text."""
    found: dict[str, float] = {}
    tokens: list[int] = []
    targets = zip(row["input_ids"], row["targets"], row["weights"], strict=True)
    for token, target, weight in [*targets, (0, False, 0)]:
        if target:
            tokens.append(token)
            last = weight
        elif tokens:
            found[tokenizer("chatml").decode(tokens)] = round(last, 6)
            tokens = []
    return found


def test_the_tokens_of_an_answer_have_its_weight(tmp_path: Path) -> None:
    result = _run(tmp_path, QUESTION, answer("Rain.", weight=0.25), *REST)

    (row,) = result.rows()
    assert _weighed(row) == {"Rain.<|im_end|>": 0.25, "Yes, sure.<|im_end|>": 1}


def test_the_plan_and_the_first_row_tell_what_counts_less(tmp_path: Path) -> None:
    profile = _run(tmp_path, QUESTION, answer("Rain.", weight=0.25), *REST).profile

    assert (profile.answers.trained, profile.answers.weighted) == (2, 1)
    lighter = [part for part in profile.first_example if part.weight is not None]
    assert [(part.text, part.weight, part.target) for part in lighter] == [("Rain.<|im_end|>", 0.25, True)]
    assert profile.weighted_target_tokens == len(tokenizer("chatml")("Rain.<|im_end|>")["input_ids"])
    assert profile.target_tokens > profile.weighted_target_tokens


def test_a_file_without_fractions_is_the_same_to_the_byte(tmp_path: Path) -> None:
    files = []
    for name, mark in (("without", {}), ("with", {"weight": 1.0})):
        (tmp_path / name).mkdir()
        result = _run(tmp_path / name, QUESTION, answer("Rain.", **mark), *REST)
        files.append((result.folder / prepared.TRAIN).read_bytes())

    assert files[0] == files[1]
    assert pq.read_schema(pa.BufferReader(files[0])).names == prepared.ROW_SCHEMA.names


@pytest.mark.parametrize(("longest", "kept"), [(64, True), (40, False)])
def test_a_fraction_that_was_cut_away_leaves_no_weights(longest: int, kept: bool, tmp_path: Path) -> None:
    turns = (QUESTION, answer("R."), REST[0], answer("x y " * 200, weight=0.5))

    (row,) = _run(tmp_path, *turns, training__maxLength=longest).rows()

    assert len(row["input_ids"]) == longest
    assert ("weights" in row) is kept


def test_the_first_fraction_may_come_late_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given rows of which a part is written before the first fraction is seen
    monkeypatch.setattr(writer, "_ROWS_A_GROUP", 2)
    plain = [chat(f"Q{number}", f"A{number}") for number in range(5)]
    rows = [*plain, {"messages": [QUESTION, answer("Rain.", weight=0.5)]}, chat("R", "B")]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))])

    found = result.rows()
    assert [row["weights"] is None for row in found] == [True] * 5 + [False, True]
    assert _weighed(found[5]) == {"Rain.<|im_end|>": 0.5}
    assert sorted(path.name for path in result.folder.iterdir()) == [prepared.TRAIN]
    # and the train stage reads them back as they are
    read = Rows(result.folder / prepared.TRAIN)
    assert [read[index].input_ids.tolist() for index in range(7)] == [row["input_ids"] for row in found]
    assert [read[index].weights is None for index in range(7)] == [True] * 5 + [False, True]
    weights = read[5].weights
    assert weights is not None
    assert weights.tolist() == found[5]["weights"]


def test_held_out_rows_have_their_weights_too(tmp_path: Path) -> None:
    train = data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))
    test = data_file(tmp_path, "t.jsonl", lines([{"messages": [QUESTION, answer("Rain.", weight=0.5)]}]))

    result = run(tmp_path, [train], test=[test])

    (row,) = result.rows(prepared.TEST)
    assert _weighed(row) == {"Rain.<|im_end|>": 0.5}
    assert Rows(result.folder / prepared.TEST).references == ["Rain."]
    assert "weights" not in result.rows()[0]


def test_each_row_of_an_unrolled_conversation_has_the_weight_of_its_answer(tmp_path: Path) -> None:
    # given a template that leaves out earlier reasoning, so each answer is a row of its own
    first = answer("Rain.", reasoning_content="It is wet.", weight=0.5)
    last = answer("Yes.", reasoning_content="So it is.", weight=0.25)

    _, rows = prepared_with(tmp_path, "qwen3", [{"messages": [QUESTION, first, REST[0], last]}])

    assert [{w for w, t in zip(row["weights"], row["targets"], strict=True) if t} for row in rows] == [{0.5}, {0.25}]


def test_equal_conversations_with_other_weights_are_both_kept(tmp_path: Path) -> None:
    rows = [{"messages": [QUESTION, answer("Rain.", weight=weight)]} for weight in (1, 0.5, 0.5)]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))])

    assert len(result.rows()) == 2
    assert result.profile.duplicate_rows == 1


def test_a_weight_that_is_no_number_is_refused_by_file_row_and_turn(tmp_path: Path) -> None:
    # given NaN, which Parquet can hold
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": [QUESTION, answer("Rain.", weight=math.nan)]}]), path)

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [data_file(tmp_path, "b.parquet", path.read_bytes())])

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.message == "b.parquet, row 1: turn 2 has weight nan, expected a number from 0 to 1"
    assert "a fraction for one to learn less" in str(raised.value.hint)


def test_where_all_tokens_are_learned_no_answer_can_count_less(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"turn 2 has weight 0\.5, but training\.trainOn: all learns") as raised:
        _run(tmp_path, QUESTION, answer("Rain.", weight=0.5), *REST, training__trainOn="all")

    assert raised.value.hint == "set training.trainOn: assistant, or dataset.ignoreKeys: [weight]"
