"""Splits follow from content and seed; equal rows never lie in two; leaks between given files are found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_trainer.data import prepared, splits
from lora_trainer.data.rows import Conversation, Message
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, data_file, lines, run
from support.specs import REMOVED

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
SHARE = st.floats(0, 0.5)
SPLITS = (prepared.TRAIN, prepared.VALIDATION, prepared.TEST)


def _row(user: str, assistant: str) -> Conversation:
    return Conversation((Message("user", user), Message("assistant", assistant)))


@given(TEXT, TEXT, st.sampled_from([" ", "\n", "\t  ", "\r\n"]), st.integers(0, 2**31 - 1))
def test_rows_that_differ_in_white_space_alone_share_a_split(user: str, assistant: str, space: str, seed: int) -> None:
    plain = splits.fingerprint(_row(f"a {user} b", assistant))
    spaced = splits.fingerprint(_row(f" a{space}{user}{space}{space}b\n", assistant + space))

    assert plain == spaced
    assert splits.position(plain, seed) == splits.position(spaced, seed)


@given(TEXT, TEXT.filter(str.strip))
def test_turns_do_not_run_into_each_other(user: str, assistant: str) -> None:
    joined = splits.fingerprint(_row(f"{user} {assistant}", "x"))

    assert joined != splits.fingerprint(_row(user, f"{assistant} x"))


@settings(max_examples=20)
@given(SHARE, st.floats(0, 0.49), st.integers(0, 2**31 - 1))
def test_shares_are_kept_on_many_rows(validation: float, test: float, seed: int) -> None:
    bounds = splits.shares_as_bounds(validation=validation, test=test)

    drawn = [splits.assign(splits.position(n.to_bytes(16, "big"), seed), bounds) for n in range(2000)]

    assert drawn.count("validation") / 2000 == pytest.approx(validation, abs=0.06)
    assert drawn.count("test") / 2000 == pytest.approx(test, abs=0.06)


@pytest.mark.parametrize(
    ("rows", "validation", "test", "wanted"),
    [
        (20, 0.1, 0.1, {"train": 16, "validation": 2, "test": 2}),
        (30, 0.1, 0.1, {"train": 24, "validation": 3, "test": 3}),
        (20, 0, 0.1, {"train": 18, "test": 2}),
        # 0.5, 0.5 and 4 of five rows: the row that is left over is a test row.
        (5, 0.1, 0.1, {"train": 4, "test": 1}),
        (3, 0.1, 0.1, {"train": 3}),
        (7, 0.3, 0.3, {"train": 3, "validation": 2, "test": 2}),
        (1, 0.1, 0.1, {"train": 1}),
        (2, 0.5, 0.49, {"validation": 1, "test": 1}),
    ],
)
@pytest.mark.parametrize("seed", range(8))
def test_of_few_rows_exactly_the_shares_are_held_out(
    seed: int, rows: int, validation: float, test: float, wanted: dict[str, int]
) -> None:
    places = [splits.position(n.to_bytes(16, "big"), seed) for n in range(rows)]
    by_shares = splits.shares_as_bounds(validation=validation, test=test)

    bounds = splits.exact_bounds(places, validation=validation, test=test) or by_shares

    assert Counter(splits.assign(place, bounds) for place in places) == wanted


def test_where_the_shares_hold_out_about_as_many_rows_as_they_should_the_split_stays_as_it_is() -> None:
    places = [splits.position(n.to_bytes(16, "big"), 42) for n in range(100_000)]

    assert splits.exact_bounds(places, validation=0.1, test=0.1) is None


@pytest.mark.parametrize("seed", range(10))
def test_a_file_of_twenty_rows_has_two_validation_and_two_test_rows_whatever_the_seed(
    tmp_path: Path, seed: int
) -> None:
    rows = [chat(f"Question {n}", "Answer.") for n in range(20)]
    split = {"validation": 0.1, "test": 0.1, "seed": seed}
    files = [data_file(tmp_path, "a.jsonl", lines(rows))]

    forwards = run(tmp_path, files, dataset__split=split)
    tested = {row["reference"] + str(row["prompt_ids"]) for row in forwards.rows(prepared.TEST)}

    # The numbers are exact, and no row that is tested is trained on.
    assert forwards.profile.rows == {"train": 16, "validation": 2, "test": 2}
    kept = [tuple(row["input_ids"]) for name in SPLITS for row in forwards.rows(name)]
    assert len(kept) == len(set(kept)) == 20

    # The order of the rows does not matter.
    turned = [data_file(tmp_path, "b.jsonl", lines(rows[::-1]))]
    backwards = run(tmp_path, turned, dataset__split=split).rows(prepared.TEST)
    assert {row["reference"] + str(row["prompt_ids"]) for row in backwards} == tested


def test_a_held_out_file_that_the_exact_split_leaves_empty_is_not_there(tmp_path: Path) -> None:
    # Of three rows, a tenth is none; by the shares alone this seed holds one out.
    rows = [chat(f"Question {n}", "Answer.") for n in range(3)]
    seed = next(
        seed
        for seed in range(100)
        if any(splits.position(splits.fingerprint(_row(f"Question {n}", "Answer.")), seed) < 0.1 for n in range(3))
    )

    result = run(
        tmp_path,
        [data_file(tmp_path, "a.jsonl", lines(rows))],
        dataset__split={"validation": 0, "test": 0.1, "seed": seed},
    )

    assert result.profile.rows == {"train": 3, "validation": 0, "test": 0}
    assert not (result.folder / prepared.TEST).exists()


def test_a_conversation_in_which_other_answers_count_counts_once_and_stays_in_one_split(tmp_path: Path) -> None:
    twice = []
    for n in range(20):
        row = chat(f"Question {n}", "First.", "And then?", "Second.")
        silent = [dict(turn, weight=0) if turn["content"] == "First." else turn for turn in row["messages"]]
        twice += [row, {"messages": silent}]

    result = run(
        tmp_path,
        [data_file(tmp_path, "a.jsonl", lines(twice))],
        dataset__split={"validation": 0.1, "test": 0.1, "seed": 3},
    )

    # Each conversation is there twice, and both its rows are in the same split.
    assert result.profile.rows == {"train": 32, "validation": 4, "test": 4}
    for name in SPLITS:
        assert set(Counter(tuple(row["input_ids"]) for row in result.rows(name)).values()) == {2}


def test_what_two_sources_have_in_common_is_in_one_split(tmp_path: Path) -> None:
    # The first source has test rows of its own, so that its validation rows begin where the other's test rows do
    common = [chat(f"Question {n}", "First.", "And then?", "Second.") for n in range(300)]
    silent = [
        {"messages": [dict(row["messages"][0]), dict(row["messages"][1], weight=0), *row["messages"][2:]]}
        for row in common
    ]
    files = {
        name: replace(data_file(tmp_path, f"{name}.jsonl", lines(rows)), source=name)
        for name, rows in {"first": common, "second": silent}.items()
    }
    own = replace(data_file(tmp_path, "own.jsonl", lines([chat("Own", "Row.")])), source="first")
    sources = [{"name": name, "uri": f"s3://datasets/{name}/"} for name in files]

    result = run(
        tmp_path,
        [*files.values()],
        test=[own],
        **{"dataset.uri": REMOVED},
        dataset__sources=sources,
        dataset__split={"validation": 0.1, "test": 0.1},
    )

    texts = {name: {tuple(row["input_ids"]) for row in result.rows(name)} for name in SPLITS}
    assert not texts[prepared.TRAIN] & (texts[prepared.VALIDATION] | texts[prepared.TEST])
    assert not texts[prepared.VALIDATION] & texts[prepared.TEST]
    assert texts[prepared.VALIDATION]


def test_a_row_that_is_added_moves_no_other_row(tmp_path: Path) -> None:
    rows = [chat(f"Question {n}", "Answer.") for n in range(200)]
    split = {"validation": 0.2, "test": 0.2, "seed": 7}
    before = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows[:150]))], dataset__split=split).rows(
        prepared.TEST
    )

    after = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__split=split).rows(prepared.TEST)

    assert after[: len(before)] == before
    assert len(before) > 10


@settings(max_examples=50)
@given(st.integers(10, 40), st.integers(0, 2**31 - 1))
def test_of_few_rows_one_that_is_added_moves_as_few_others_as_the_numbers_allow(rows: int, seed: int) -> None:
    places = [splits.position(n.to_bytes(16, "big"), seed) for n in range(rows + 1)]
    by_shares = splits.shares_as_bounds(validation=0, test=0.2)

    def tested(among: list[float]) -> set[float]:
        bounds = splits.exact_bounds(among, validation=0, test=0.2) or by_shares
        return {place for place in among if splits.assign(place, bounds) == "test"}

    before, after = tested(places[:-1]), tested(places)
    # Either all test rows of before stay, or nothing but the new row comes in.
    assert before <= after or after - {places[-1]} <= before


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
