"""The stage on files: what it hands over, and what it finds done."""

from __future__ import annotations

import math
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import PLAN
from lora_contract.status import PlanStatus
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import take_claim
from lora_trainer.store import from_environment
from support.prepare_orders import Place, place, publish_adapter
from support.prepared_data import chat, lines


def test_a_good_run_hands_over_rows_profile_and_plan(tmp_path: Path) -> None:
    run = place(tmp_path, rows=120)

    report = run.prepare()

    plan = PlanStatus.model_validate_json(run.prepared(report, PLAN).read_bytes())
    assert report.plan == plan
    assert report.error is None
    assert not report.adopted
    assert plan.rows + plan.validation_rows + plan.test_rows == 120
    assert plan.total_steps == 2 * math.ceil(plan.rows / 8)
    assert plan.format == "messages (columns messages)"
    assert len(str(plan.dataset_digest)) == len(str(plan.model_commit)) == 64
    assert plan.memory is not None
    assert plan.memory_bytes == plan.memory.total_bytes > plan.memory.weights_bytes
    train = pq.read_table(run.prepared(report, prepared.TRAIN))
    assert train.schema.equals(prepared.ROW_SCHEMA)
    assert train.num_rows == plan.rows
    assert sum(train["length"].to_pylist()) == plan.tokens
    assert pq.read_schema(run.prepared(report, prepared.TEST)).equals(prepared.TEST_SCHEMA)
    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert [(file.name, file.split) for file in profile.files] == [("rows.jsonl", "dataset")]
    assert not list((tmp_path / "scratch").iterdir())
    assert not [path for path in (tmp_path / "output" / "_work").iterdir() if path.name.startswith("probe")]


def test_evaluations_take_a_fifth_of_the_rows_between_them(tmp_path: Path) -> None:
    # 50 rows a step pair, and more validation rows than a fifth of them
    training = {"epochs": 1, "effectiveBatchSize": 25, "evalSteps": 2}
    run = place(tmp_path, rows=120, training=training, dataset__split={"validation": 0.5, "test": 0})
    # When it is prepared, the plan says how many rows an evaluation takes, and a warning how to have more
    report = run.prepare()
    assert report.plan is not None
    assert report.plan.validation_rows > 40
    assert report.plan.evaluation_rows == 10
    words = f"takes 10 of the {report.plan.validation_rows} validation rows"
    assert any(words in warning and "raise training.evalSteps" in warning for warning in report.warnings)


def test_a_run_without_an_evaluation_is_told_until_evaluations_are_more_frequent(tmp_path: Path) -> None:
    training = {"maxSteps": 5, "effectiveBatchSize": 8}

    report = place(tmp_path, training={**training, "evalSteps": 6}).prepare()

    assert any("evalSteps 6 is more than the steps of the run (5)" in warning for warning in report.warnings)
    often = place(tmp_path, training={**training, "evalSteps": 5}).prepare()
    assert not any("nothing is evaluated" in warning for warning in often.warnings)


def test_the_same_run_is_prepared_once(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    written = run.prepared(first, prepared.TRAIN).stat().st_mtime_ns

    second = run.prepare()

    assert second.run_id == first.run_id
    assert second.plan == first.plan
    assert run.prepared(second, prepared.TRAIN).stat().st_mtime_ns == written


def test_while_an_identical_run_trains_it_is_waited_for_without_a_gpu_and_its_adapter_adopted(tmp_path: Path) -> None:
    run = place(tmp_path)
    layout = run.layout(run.prepare())
    store = from_environment(2)
    claim = take_claim(store, layout, "another resource")
    with ThreadPoolExecutor() as pool:
        second = pool.submit(run.prepare)
        with pytest.raises(TimeoutError):
            second.result(timeout=2)
        published = publish_adapter(tmp_path, layout, claim)

        report = second.result(timeout=60)

    assert report.adopted
    assert report.artifact == published


def test_what_a_known_run_published_is_found_though_its_data_is_gone(tmp_path: Path) -> None:
    # A run that published its adapter, and data that was deleted since
    run = place(tmp_path)
    first = run.prepare()
    published = publish_adapter(tmp_path, run.layout(first), take_claim(from_environment(2), run.layout(first), "1"))
    (tmp_path / "rows.jsonl").unlink()
    # Prepare is told the identity of the run
    report = Place(tmp_path, run.order.model_copy(update={"run_id": first.run_id})).prepare()
    # It needs neither data nor model to find the adapter
    assert report.adopted
    assert (report.run_id, report.artifact) == (first.run_id, published)
    assert report.warnings == ["the validation loss rose at the end"]


def test_a_known_run_that_published_nothing_is_prepared_again(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()

    second = Place(tmp_path, run.order.model_copy(update={"run_id": first.run_id})).prepare()

    assert second == first


def test_a_run_that_ended_without_an_adapter_is_not_waited_for(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    take_claim(from_environment(2), run.layout(first), "another resource").release()

    assert not run.prepare().adopted


def test_a_prepare_that_was_killed_before_its_plan_is_done_again(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    run.prepared(first, PLAN).unlink()
    run.prepared(first, prepared.TRAIN).write_bytes(b"half")

    second = run.prepare()

    assert second == first
    assert pq.read_table(run.prepared(second, prepared.TRAIN)).num_rows == second.plan.rows  # type: ignore[union-attr]


SAME_RUN: dict[str, dict[str, object]] = {
    "another address of the same data": {"dataset__uri": "file://{folder}/copy.jsonl"},
    "a mirror of the same model": {"model__source": "file://{folder}/mirror"},
    "another micro batch": {"training__microBatchSize": 4},
    "another node": {"compute": {"memory": "64Gi"}},
}
OTHER_RUN: dict[str, dict[str, object]] = {
    "another learning rate": {"training__learningRate": 1e-3},
    "another run token": {"runToken": "2"},
    "other data": {"dataset__uri": "file://{folder}/other.jsonl"},
    "the same data as validation too": {"dataset__validationUri": "file://{folder}/other.jsonl"},
    "other weights": {"model__source": "file://{folder}/other-model"},
}


def _variants(folder: Path) -> None:
    shutil.copy(folder / "rows.jsonl", folder / "copy.jsonl")
    shutil.copytree(folder / "model", folder / "mirror")
    (folder / "mirror" / "README.md").write_text("A mirror.")
    (folder / "other.jsonl").write_bytes(lines(chat(f"Other {n}?", "Yes.") for n in range(30)))
    shutil.copytree(folder / "model", folder / "other-model")
    weights = folder / "other-model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize("change", [*SAME_RUN, *OTHER_RUN])
def test_the_identity_follows_from_content_not_from_addresses(change: str, tmp_path: Path) -> None:
    first = place(tmp_path).prepare()
    _variants(tmp_path)
    changes = SAME_RUN.get(change) or OTHER_RUN[change]
    filled = {key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in changes.items()}

    second = place(tmp_path, **filled).prepare()

    assert (second.run_id == first.run_id) is (change in SAME_RUN)


def test_a_prefix_is_read_in_the_order_of_its_names_without_markers(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    (folder / "day=2").mkdir(parents=True)
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / "b.csv").write_bytes(b"prompt,completion\nQ,A\n")
    (folder / "day=2" / "a.jsonl").write_bytes(lines([{"prompt": "R", "completion": "B"}]))
    run = place(tmp_path, dataset__uri=f"file://{folder}/", dataset__split={"validation": 0, "test": 0})

    report = run.prepare()

    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert profile.rows_read == {"b.csv": 1, "day=2/a.jsonl": 1}
    assert report.plan is not None
    assert report.plan.rows == 2


def test_what_a_user_should_know_is_in_the_report(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q", "A"), chat("R", "A long answer. " * 50)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows) + b"{oops\n")

    report = place(tmp_path, dataset__onBadRows="Skip", dataset__split__seed=2, training__maxLength=64).prepare()

    first = "1 bad row was left out (dataset.onBadRows: Skip); the first: rows.jsonl, line 4: is not JSON"
    assert report.warnings[0].startswith(first)
    assert report.plan is not None
    assert report.warnings[1:] == [
        "1 repeated row was left out",
        f"rows cut at 64 tokens: 1 of 2; raise training.maxLength, to {report.plan.longest_row} for all of them",
        "no row fell into the validation split, as there are few rows: nothing is evaluated during training;"
        " raise dataset.split.validation or set dataset.validationUri",
        "no row fell into the test split, as there are few rows: base and adapter are not compared;"
        " raise dataset.split.test or set dataset.testUri",
    ]


def test_rows_whose_answer_was_cut_away_are_told_until_following_the_advice_keeps_them(tmp_path: Path) -> None:
    # Rows of which some have a question longer than a row may be, and a column that is not read
    rows = [{"prompt": f"{n}? " + "word " * 40 * (n % 2), "completion": "Yes.", "source": "x"} for n in range(20)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    # They are prepared, now and once more
    training = {"epochs": 1, "maxLength": 64}
    for report in (place(tmp_path, training=training).prepare(), place(tmp_path, training=training).prepare()):
        # Plan and warnings say what was left out
        plan = report.plan
        assert plan is not None
        assert (plan.rows_read, plan.rows_without_target) == (20, 10)
        assert plan.rows + plan.validation_rows + plan.test_rows == 10
        assert "columns that are not used: source" in report.warnings
        (warning,) = [each for each in report.warnings if "leaves nothing of their answers" in each]
        assert warning.startswith("rows left out: 10 of 20, as training.maxLength 64")
    # With the length that is named there, no row is
    needed = int(re.findall(r"raise training.maxLength, to (\d+) for all of them", warning)[0])
    plan = place(tmp_path, training={"epochs": 1, "maxLength": needed}).prepare().plan
    assert plan is not None
    assert (plan.rows_without_target, plan.truncated_rows, plan.longest_row) == (0, 0, needed)


MISSING = {
    "spec.dataset.uri": {"dataset__uri": "file://{folder}/nothing.jsonl"},
    "spec.dataset.validationUri": {"dataset__validationUri": "file://{folder}/nothing/"},
    "spec.dataset.testUri": {"dataset__testUri": "file://{folder}/nothing.jsonl"},
    "spec.model.source": {"model__source": "file://{folder}/nothing"},
}


@pytest.mark.parametrize("param", MISSING)
def test_a_missing_input_names_its_field(param: str, tmp_path: Path) -> None:
    changes = {key: value.format(folder=tmp_path) for key, value in MISSING[param].items()}

    with pytest.raises(TrainerError, match="nothing") as raised:
        place(tmp_path, **changes).prepare()

    assert raised.value.exit_code is ExitCode.INPUT_MISSING
    assert raised.value.param == param
