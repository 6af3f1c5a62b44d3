"""Rows of several sources: read as one dataset, counted each, told by the name of their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_contract.source_status import SourcePlanStatus
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from support.prepare_orders import Place, place
from support.prepared_data import chat, lines
from support.specs import REMOVED

NOTHING_HELD_OUT = {"validation": 0, "test": 0}


def rows(*numbers: int) -> list[dict[str, Any]]:
    return [chat(f"Question {n}?", f"Answer {n}.") for n in numbers]


def sources(folder: Path, *written: dict[str, Any], **changes: Any) -> Place:
    """A run of these sources; each has the file of its name."""
    given = [{"uri": f"file://{folder}/{source['name']}.jsonl", **source} for source in written]
    return place(folder, dataset__uri=REMOVED, dataset__sources=given, **changes)


def write(folder: Path, name: str, content: list[dict[str, Any]]) -> None:
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines(content))


def plan_of(report: Report) -> dict[str, SourcePlanStatus]:
    assert report.plan is not None
    assert report.plan.sources is not None
    return {source.name: source for source in report.plan.sources}


def test_each_source_is_counted_and_repeated_as_it_says(tmp_path: Path) -> None:
    # given two sources, one of which is to come three times an epoch
    write(tmp_path, "general", rows(*range(200)))
    write(tmp_path, "support", rows(*range(1000, 1050)))
    run = sources(tmp_path, {"name": "support", "repeats": 3}, {"name": "general"})
    # when they are prepared
    report = run.prepare()
    # then the plan says what is of each, and steps and epochs follow from the rows of an epoch
    plan, found = report.plan, plan_of(report)
    assert plan is not None
    assert list(found) == ["general", "support"]
    assert sum(source.rows for source in found.values()) == plan.rows
    assert sum(source.test_rows for source in found.values()) == plan.test_rows
    assert found["support"].epoch_rows == 3 * found["support"].rows
    assert plan.epoch_rows == found["general"].rows + 3 * found["support"].rows
    assert plan.total_steps == 2 * -(-plan.epoch_rows // 8)
    assert float(found["support"].epochs or 0) == pytest.approx(3 * float(found["general"].epochs or 0), rel=1e-3)
    # and each row stands once in the files, with its source
    train = pq.read_table(run.prepared(report, prepared.TRAIN))
    assert train.num_rows == plan.rows
    counts = [train["source"].to_pylist().count(number) for number in (0, 1)]
    assert counts == [found["general"].rows, found["support"].rows]
    assert "source" in pq.read_schema(run.prepared(report, prepared.TEST)).names
    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert [(file.name, file.source) for file in profile.files] == [
        ('sources[1] "general": general.jsonl', "general"),
        ('sources[0] "support": support.jsonl', "support"),
    ]


def test_the_order_in_the_spec_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(30)))
    write(tmp_path, "b", rows(*range(20, 60)))
    first, second = {"name": "a"}, {"name": "b", "repeats": 2}

    one = sources(tmp_path, first, second).prepare()
    other = sources(tmp_path, second, first).prepare()

    assert one.run_id == other.run_id


def test_a_share_is_kept_by_repeating_the_smaller_source(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(80)))
    write(tmp_path, "b", rows(*range(100, 110)))
    shares = {"name": "a", "share": 0.8}, {"name": "b", "share": 0.2}

    found = plan_of(sources(tmp_path, *shares, dataset__split=NOTHING_HELD_OUT).prepare())

    assert [(source.rows, source.epoch_rows) for source in found.values()] == [(80, 80), (10, 20)]


def test_a_row_of_two_sources_counts_once_and_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(30)))
    write(tmp_path, "b", rows(*range(20, 60)))

    report = sources(tmp_path, {"name": "b"}, {"name": "a"}, dataset__split=NOTHING_HELD_OUT).prepare()

    assert [(s.name, s.rows, s.duplicate_rows) for s in plan_of(report).values()] == [("a", 30, 0), ("b", 30, 10)]
    assert "10 repeated rows were left out" in report.warnings


def test_a_source_of_which_nothing_is_trained_on_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(30)))
    write(tmp_path, "b", rows(*range(20)))

    report = sources(tmp_path, {"name": "a"}, {"name": "b"}, dataset__split=NOTHING_HELD_OUT).prepare()

    assert "sources of which no training row is left: b" in report.warnings


def test_a_test_row_that_another_source_trains_on_is_refused_with_both_places(tmp_path: Path) -> None:
    # given a source with a test file of its own, and one that has a row of it among those to train on
    write(tmp_path, "a", rows(*range(30)))
    write(tmp_path, "b/train", rows(*range(100, 130)))
    write(tmp_path, "b/test", rows(7, 200))
    run = sources(tmp_path, {"name": "a"}, {"name": "b", "uri": f"file://{tmp_path}/b"})
    # when they are prepared
    with pytest.raises(TrainerError) as raised:
        run.prepare()
    # then the words name both rows
    assert raised.value.message.startswith('sources[1] "b": test.jsonl, line 1: repeats the row at sources[0] "a": a.')
    assert raised.value.exit_code is ExitCode.BAD_DATA


def test_only_the_source_with_a_test_file_is_held_out_by_it(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(100)))
    write(tmp_path, "b/train", rows(*range(100, 200)))
    write(tmp_path, "b/test", rows(*range(200, 205)))
    split = {"validation": 0, "test": 0.5}

    report = sources(
        tmp_path, {"name": "a"}, {"name": "b", "uri": f"file://{tmp_path}/b"}, dataset__split=split
    ).prepare()

    found = plan_of(report)
    assert (found["b"].rows, found["b"].test_rows) == (100, 5)
    assert found["a"].test_rows > 20


def test_a_bad_row_is_named_with_its_source(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(10)))
    write(tmp_path, "b/x", [*rows(1, 2), {"messages": []}])

    with pytest.raises(TrainerError) as raised:
        sources(tmp_path, {"name": "a"}, {"name": "b", "uri": f"file://{tmp_path}/b/"}).prepare()

    assert raised.value.message.startswith('sources[1] "b": x.jsonl, line 3: ')
    assert raised.value.param == 'sources[1] "b": x.jsonl:3'


def test_sources_of_different_formats_are_read_each_as_its_own(tmp_path: Path) -> None:
    # given documents and conversations, whose columns have other names
    write(tmp_path, "pages", [{"page": f"Page {n} is about the number {n}."} for n in range(20)])
    write(tmp_path, "chats", [{"q": f"What is {n}?", "a": f"A number, {n}."} for n in range(20)])
    run = sources(
        tmp_path,
        {"name": "pages", "format": "text", "columns": {"text": "page"}},
        {"name": "chats", "columns": {"prompt": "q", "completion": "a"}, "format": "prompt-completion"},
        dataset__split=NOTHING_HELD_OUT,
    )
    # when they are prepared
    report = run.prepare()
    # then both are there
    assert report.plan is not None
    assert report.plan.format == "prompt-completion (columns q, a); text (columns page)"
    assert [source.rows for source in plan_of(report).values()] == [20, 20]


def test_columns_that_fit_nothing_name_the_fields_of_the_source(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(10)))
    write(tmp_path, "b", [{"question": "Why?", "answer": "So."}])

    with pytest.raises(TrainerError) as raised:
        sources(tmp_path, {"name": "a"}, {"name": "b"}).prepare()

    assert raised.value.param == "spec.dataset.sources[1].columns"
    assert "set dataset.sources[1].columns: {prompt: question" in str(raised.value.hint)


def test_a_source_that_lies_nowhere_is_named_by_its_field(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(10)))

    with pytest.raises(TrainerError, match="there is nothing at") as raised:
        sources(tmp_path, {"name": "a"}, {"name": "gone"}).prepare()

    assert raised.value.param == "spec.dataset.sources[1].uri"
    assert raised.value.exit_code is ExitCode.INPUT_MISSING


def test_a_limit_on_a_source_without_test_rows_ends_before_a_gpu(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(40)))
    write(tmp_path, "b", rows(*range(100, 140)))
    write(tmp_path, "own", rows(500, 501))
    run = sources(
        tmp_path,
        {"name": "a"},
        {"name": "b"},
        dataset__testUri=f"file://{tmp_path}/own.jsonl",
        evaluation={"gate": {"maxForgettingRatio": 1.1, "forgettingSource": "b"}},
    )

    with pytest.raises(TrainerError, match="source b has no test rows") as raised:
        run.prepare()

    assert raised.value.param == "spec.evaluation.gate.forgettingSource"


def test_other_data_of_a_source_is_another_run(tmp_path: Path) -> None:
    write(tmp_path, "a", rows(*range(10)))
    write(tmp_path, "b", rows(*range(20, 30)))
    run = sources(tmp_path, {"name": "a"}, {"name": "b"})
    before = run.prepare().run_id
    # rows that change their source are other data, though all files together hold the same
    first, second = (tmp_path / f"{name}.jsonl" for name in "ab")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)

    assert run.prepare().run_id != before
