"""The termination message: always short enough, and nothing that a pod writes there can hurt."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_contract.conditions import MAX_MESSAGE_LENGTH
from lora_contract.outside import shorten
from lora_contract.report import MAX_BYTES, Report, ReportError, Timing, decode, encode
from lora_contract.source_status import SourceMetricsStatus, SourcePlanStatus
from lora_contract.status import ArtifactStatus, MetricsStatus, PlanStatus

COUNT = st.integers(0, 10**12)
NUMBER = st.floats(0, 1e9).map("{:.6f}".format)
HEXADECIMAL = st.text("0123456789abcdef", min_size=64, max_size=64)
ADDRESS = st.text("abc/'&=+", min_size=1, max_size=600).map("s3://bucket/".__add__)
FREE_TEXT = st.text(max_size=3000) | st.sampled_from(['"' * 2000, "\\" * 2000, "\x00" * 2000, "😀" * 800, "\n" * 2000])

REPORTS = st.builds(
    Report,
    stage=st.sampled_from(["prepare", "train"]),
    runId=st.none() | HEXADECIMAL,
    adopted=st.booleans(),
    plan=st.none()
    | st.builds(
        PlanStatus, rows=COUNT, tokens=COUNT, totalSteps=COUNT, datasetDigest=HEXADECIMAL, modelCommit=HEXADECIMAL
    ),
    artifact=st.none()
    | st.builds(
        ArtifactStatus,
        uri=ADDRESS,
        manifestDigest=HEXADECIMAL,
        sizeBytes=COUNT,
        baseModel=st.text("abc/", min_size=1, max_size=200),
        requiredMaxLoraRank=COUNT,
        reportUri=ADDRESS,
    ),
    metrics=st.none() | st.builds(MetricsStatus, trainLoss=NUMBER, evalLoss=NUMBER, testLoss=NUMBER),
    timing=st.none() | st.builds(Timing, lastStep=COUNT, tokensPerSecond=st.floats(0, 1e9)),
    gateFailed=st.none() | FREE_TEXT,
    warnings=st.lists(FREE_TEXT, max_size=30),
    error=st.none() | st.builds(ReportError, message=FREE_TEXT, param=FREE_TEXT, hint=FREE_TEXT),
)


@pytest.mark.parametrize(
    "forged",
    [
        {"manifestDigest": "zz"},
        {"manifestDigest": ""},
        {"uri": "s3://bucket/" + "a" * 1024},
        {"uri": "file:///etc"},
        {"uri": "http://169.254.169.254/latest"},
    ],
)
def test_an_artifact_that_cannot_be_found_or_checked_is_none(forged: dict[str, str]) -> None:
    artifact = ArtifactStatus(
        uri="s3://bucket/a",
        manifest_digest="ab" * 32,
        size_bytes=1,
        base_model="tiny",
        required_max_lora_rank=8,
    )
    said = json.loads(encode(Report(stage="train", artifact=artifact)))
    said["artifact"] |= forged

    read = decode(json.dumps(said))

    assert read is not None
    assert read.artifact is None


@given(REPORTS)
def test_every_report_fits_and_keeps_its_facts(report: Report) -> None:
    text = encode(report)
    assert len(text.encode()) <= MAX_BYTES
    read = decode(text)
    assert read is not None
    kept = {"stage", "run_id", "adopted", "plan", "artifact", "metrics", "timing"}
    assert read.model_dump(include=kept) == report.model_dump(include=kept)
    assert (read.error is None) == (report.error is None)
    if read.error is not None:
        assert len(read.error.message) <= MAX_MESSAGE_LENGTH


def _of_many_sources(stage: Literal["prepare", "train"]) -> Report:
    """The largest report: figures of sixteen sources with the longest names, after a long run."""
    names_ = [f"{n:02d}-{'x' * 37}" for n in range(16)]
    plan = PlanStatus(
        rows=10**8,
        tokens=10**12,
        totalSteps=10**7,
        datasetDigest="a" * 64,
        modelCommit="b" * 64,
        sources=[
            SourcePlanStatus(name=name, rows=10**8, tokens=10**12, epochRows=10**8, epochs="1.234e+05")
            for name in names_
        ],
    )
    losses = {"baseEvalLoss": "2.34567", "evalLoss": "1.23456", "baseTestLoss": "2.34567", "testLoss": "1.23456"}
    metrics = MetricsStatus(testLoss="1.23456", sources=[SourceMetricsStatus(name=name, **losses) for name in names_])
    return Report(stage=stage, runId="c" * 32, plan=plan, metrics=metrics if stage == "train" else None)


def test_figures_of_many_sources_cost_no_other_fact() -> None:
    for stage in ("prepare", "train"):
        report = _of_many_sources(stage)
        text = encode(report)
        assert len(text.encode()) <= MAX_BYTES
        read = decode(text)
        assert read is not None
        assert read.run_id == report.run_id
        if stage == "prepare":
            assert read.plan is not None
            assert (read.plan.rows, read.plan.total_steps) == (10**8, 10**7)
        else:
            assert read.metrics is not None
            assert read.metrics.test_loss == "1.23456"
            assert read.metrics.sources is not None
            assert len(read.metrics.sources) == 16


def test_an_ordinary_report_is_not_cut() -> None:
    report = Report(
        stage="prepare",
        warnings=["7 rows were cut at 512 tokens"],
        error=ReportError(message="rows.jsonl line 7: no `completion`", param="dataset.uri", hint="Add the column."),
    )
    assert decode(encode(report)) == report


def test_the_error_outlives_the_warnings() -> None:
    report = Report(stage="train", warnings=['"' * 300] * 50, error=ReportError(message='"' * 5000, hint="Do this."))
    read = decode(encode(report))
    assert read is not None
    assert read.error is not None
    assert read.error.hint == "Do this."


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Killed",
        "{",
        "[]",
        "null",
        "1",
        "{}",
        '{"stage": "serve"}',
        '{"stage": "train", "version": 2}',
        "[" * 4000,
        '{"stage": "train", "runId": "' + "a" * 100_000 + '"}',
    ],
)
def test_what_is_no_report_is_none(text: str | None) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('"plan": {"rows": "many", "tokens": 7}', {}),
        ('"timing": {"lastStep": NaN, "lostSteps": 3}', {"timing": Timing(lost_steps=3)}),
        ('"timing": {"lastStep": 9223372036854775808}', {"timing": Timing(last_step=2**53)}),
        (f'"timing": {{"lastStep": {"9" * 4000}}}', {"timing": Timing(last_step=2**53)}),
        ('"timing": {"lastStep": -7, "fromStep": "-3"}', {"timing": Timing()}),
        ('"timing": {"secondsAfterLastStep": 1e308}', {"timing": Timing(seconds_after_last_step=2**53)}),
        ('"timing": {"secondsAfterLastStep": "inf", "lastStep": 1.5}', {"timing": Timing()}),
        ('"metrics": {"trainLoss": "1.5", "evalLoss": 7}', {"metrics": MetricsStatus(train_loss="1.5")}),
        ('"metrics": {"trainLoss": "\\u001b[2J\\u202e1"}', {"metrics": MetricsStatus(train_loss=" [2J 1")}),
        ('"artifact": {"uri": "s3://a/b"}', {}),
        ('"warnings": [1, "a", {}, "b\\ud800"], "adopted": "perhaps"', {"warnings": ["a", "b "]}),
        ('"error": {"message": "no", "hint": []}', {"error": ReportError(message="no")}),
    ],
)
def test_of_a_report_with_something_wrong_the_rest_is_kept(text: str, kept: dict[str, object]) -> None:
    assert decode(f'{{"stage": "train", {text}}}') == Report.model_validate({"stage": "train"} | kept)


@pytest.mark.parametrize("name", ["message", "hint", "param"])
def test_long_words_of_a_pod_fit_the_status(name: str) -> None:
    read = decode(json.dumps({"stage": "train", "error": {"message": "no", name: "x" * 4000}}))
    assert read is not None
    assert read.error is not None
    assert 200 <= len(getattr(read.error, name)) <= MAX_MESSAGE_LENGTH


@given(st.text(max_size=5000) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_no_text_makes_decoding_fail(text: str) -> None:
    decode(text)


@given(REPORTS, st.integers(0, 4096))
def test_a_report_cut_by_the_kubelet_does_no_harm(report: Report, length: int) -> None:
    decode(encode(report)[:length])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_could_not_be_measured_does_not_lose_the_report(value: float) -> None:
    read = decode(encode(Report(stage="train", timing=Timing(last_step=7, tokens_per_second=value))))
    assert read is not None
    assert read.timing == Timing(last_step=7, tokens_per_second=0)


def test_a_report_of_a_newer_trainer_is_read() -> None:
    assert decode('{"stage": "train", "version": 1, "newField": {"a": 1}}') == Report(stage="train")


@given(st.text(max_size=2000), st.integers(8, 1000))
def test_a_shortened_text_is_short_and_printable(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert all(char.isprintable() or char == "\n" for char in short)


def test_terminal_codes_do_not_reach_a_terminal() -> None:
    assert shorten("\x1b[31mred\x1b[0m\r\x07") == " [31mred [0m  "
