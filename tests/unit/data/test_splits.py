"""Splits follow from content and seed; equal rows never lie in two; leaks between given files are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_trainer.data import prepared, splits
from lora_trainer.data.rows import Conversation, Message
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, data_file, lines, run

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
SHARE = st.floats(0, 0.5)


def _row(user: str, assistant: str) -> Conversation:
    return Conversation((Message("user", user), Message("assistant", assistant)))


@given(TEXT, TEXT, st.sampled_from([" ", "\n", "\t  ", "\r\n"]), st.integers(0, 2**31 - 1))
def test_rows_that_differ_in_white_space_alone_share_a_split(user: str, assistant: str, space: str, seed: int) -> None:
    plain = splits.fingerprint(_row(f"a {user} b", assistant))
    spaced = splits.fingerprint(_row(f" a{space}{user}{space}{space}b\n", assistant + space))

    assert plain == spaced
    drawn = [splits.assign(key, seed=seed, validation=0.3, test=0.3) for key in (plain, spaced)]
    assert drawn[0] == drawn[1]


@given(TEXT, TEXT.filter(str.strip))
def test_turns_do_not_run_into_each_other(user: str, assistant: str) -> None:
    joined = splits.fingerprint(_row(f"{user} {assistant}", "x"))

    assert joined != splits.fingerprint(_row(user, f"{assistant} x"))


@settings(max_examples=20)
@given(SHARE, st.floats(0, 0.49), st.integers(0, 2**31 - 1))
def test_shares_are_kept_on_many_rows(validation: float, test: float, seed: int) -> None:
    keys = [n.to_bytes(16, "big") for n in range(2000)]

    drawn = [splits.assign(key, seed=seed, validation=validation, test=test) for key in keys]

    assert drawn.count("validation") / 2000 == pytest.approx(validation, abs=0.06)
    assert drawn.count("test") / 2000 == pytest.approx(test, abs=0.06)


def test_a_row_that_is_added_moves_no_other_row(tmp_path: Path) -> None:
    rows = [chat(f"Question {n}", "Answer.") for n in range(200)]
    split = {"validation": 0.2, "test": 0.2, "seed": 7}
    before = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows[:150]))], dataset__split=split).rows(
        prepared.TEST
    )

    after = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__split=split).rows(prepared.TEST)

    assert after[: len(before)] == before
    assert len(before) > 10


def test_repeated_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q ", " A\n"), chat("Q", "B"), chat("Q", "A")]
    split = {"validation": 0.3, "test": 0.3, "seed": 7}

    profile = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__split=split).profile

    assert sum(profile.rows.values()) == 2
    assert profile.duplicate_rows == 2


def test_a_test_row_that_is_also_trained_on_is_named_with_both_places(tmp_path: Path) -> None:
    main = data_file(tmp_path, "a.jsonl", lines([chat("P", "A"), chat("Q", "A")]))
    test = data_file(tmp_path, "t.jsonl", lines([chat("R", "A"), chat("S", "A"), chat(" Q", "A")]))

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [main], test=[test], dataset__testUri="s3://datasets/t.jsonl")

    assert "t.jsonl, line 3: repeats the row at a.jsonl:2" in raised.value.message
    assert raised.value.param == "t.jsonl:3"


def test_given_files_replace_the_shares_of_the_split(tmp_path: Path) -> None:
    main = data_file(tmp_path, "a.jsonl", lines(chat(f"Q{n}", "A") for n in range(50)))
    validation = data_file(tmp_path, "v.jsonl", lines(chat(f"V{n}", "A") for n in range(3)))
    test = data_file(tmp_path, "t.jsonl", lines(chat(f"T{n}", "A") for n in range(4)))

    result = run(
        tmp_path,
        [main],
        validation=[validation],
        test=[test],
        dataset__split={"validation": 0.4, "test": 0.4},
        dataset__validationUri="s3://datasets/v.jsonl",
        dataset__testUri="s3://datasets/t.jsonl",
    )

    assert result.profile.rows == {"train": 50, "validation": 3, "test": 4}
    assert [row["reference"] for row in result.rows(prepared.TEST)] == ["A"] * 4
