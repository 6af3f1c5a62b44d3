"""Addresses in S3, the layout below the output, names of Jobs, exit codes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_contract import names, uri
from lora_contract.exit_codes import FINAL, NOT_COUNTED, ExitCode
from lora_contract.layout import RunLayout
from lora_contract.reasons import REASON_OF_EXIT_CODE

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://data/rows.jsonl", ("s3", "data", "rows.jsonl")),
        ("s3://data/a/b/", ("s3", "data", "a/b/")),
        ("s3://data", ("s3", "data", "")),
        ("file:///tmp/rows.jsonl", ("file", "", "/tmp/rows.jsonl")),
    ],
)
def test_an_address_is_split_and_put_together_again(text: str, parts: tuple[str, str, str]) -> None:
    assert tuple(uri.parse(text)) == parts
    assert str(uri.parse(text)).rstrip("/") == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    ["", "s3://", "s3://ab/x", "s3://Data/x", "gs://data/x", "http://data/x", "/data/x", "file://host/x", "file://x",
     "s3:///x", "s3://d\u0430ta/x"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/key"):
        uri.parse(text)


@pytest.mark.parametrize(
    "key",
    ["my file (final).jsonl", "Daten für März/häufig.csv", "データ/訓練.jsonl", "a&b=c;d,e@f+g$h!i'j\"k", "100%/x",
     "what?", "x#y", "a%20b", "{braces}[brackets]|pipe^caret`tick\\backslash", "👩\u200d⚕️/rows.jsonl", "...", "v.1..2"],
)  # fmt: skip
def test_a_key_may_hold_whatever_s3_takes(key: str) -> None:
    assert uri.parse(f"s3://data/{key}").key == key


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("s3://data//x", "empty segment"),
        ("s3://data/x//", "empty segment"),
        ("s3://data/x?versionId=1", "version of an object"),
        ("s3://data/x\n", "line breaks"),
        ("s3://data/a\u202ex", "direction of writing"),
        ("s3://data/a\x85x", "control characters"),
        ("file:///data/a\x00", "control characters"),
    ],
)
def test_each_cause_has_its_own_words(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        uri.parse(text)


@pytest.mark.parametrize(
    "text", ["s3://data/../x", "s3://data/.", "s3://data/x/..", "file:///data/../etc/passwd", "s3://data/%2e%2E/x"]
)
def test_dot_segments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write the full key"):
        uri.parse(text)


@pytest.mark.parametrize(
    ("start", "below"),
    [
        ("s3://data", "s3://data/a/b"),
        ("s3://data/x", "s3://data/x/a/b"),
        ("s3://data/x/", "s3://data/x/a/b"),
        ("file:///data/", "file:///data/a/b"),
        ("file:///", "file:///a/b"),
    ],
)
def test_something_below_an_address(start: str, below: str) -> None:
    assert str(uri.parse(start).join("a", "b")) == below


@pytest.mark.parametrize("output", ["s3://adapters/team-a", "s3://adapters/team-a/"])
def test_everything_of_a_run_lies_below_the_output(output: str) -> None:
    layout = RunLayout(output=output, run_id="0f" * 16)
    assert layout.published("triage") == f"s3://adapters/team-a/triage/{'0f' * 16}"
    assert layout.pointer == f"s3://adapters/team-a/_runs/{'0f' * 16}.json"
    assert layout.checkpoint(3, 40) == f"{layout.work}/checkpoints/00000003/step-00000040"
    assert layout.claim(3) == f"{layout.work}/claims/00000003"
    assert layout.prepared == f"s3://adapters/team-a/_work/{'0f' * 16}/prepared"


def test_claims_and_steps_sort_as_text_as_they_do_as_numbers() -> None:
    layout = RunLayout(output="s3://adapters", run_id="0f")
    assert sorted(layout.claim(number) for number in (10, 9, 100)) == [layout.claim(n) for n in (9, 10, 100)]
    steps = [layout.checkpoint(1, step) for step in (9, 10, 10_000_000)]
    assert sorted(steps) == steps


@given(
    st.from_regex(DNS_LABEL, fullmatch=True).filter(lambda name: len(name) <= names.MAX_NAME_LENGTH),
    st.text(),
    st.text(),
)
def test_names_of_jobs_are_labels(name: str, uid: str, token: str) -> None:
    for stage, last_index in ((names.STAGE_PREPARE, 0), (names.STAGE_TRAIN, 63), (names.STAGE_CHECK, 0)):
        made = names.job_name(name, stage, uid=uid, spec_hash="a" * 64, run_token=token)
        assert len(f"{made}-{last_index}") <= names.MAX_LABEL_LENGTH, "the hostname of its last pod"
        assert DNS_LABEL.fullmatch(made)


def test_another_object_spec_or_token_gives_another_job() -> None:
    same = {"uid": "u", "spec_hash": "h", "run_token": ""}
    first = names.job_name("triage", "train", **same)
    assert first == names.job_name("triage", "train", **same)
    others = {names.job_name("triage", "train", **(same | {key: "x"})) for key in same}
    assert len(others | {first}) == 4


def test_every_exit_code_but_success_has_a_reason() -> None:
    assert set(REASON_OF_EXIT_CODE) == set(ExitCode) - {ExitCode.DONE}
    assert len(set(REASON_OF_EXIT_CODE.values())) == len(REASON_OF_EXIT_CODE)


def test_an_exit_code_is_of_one_kind() -> None:
    assert not set(FINAL) & set(NOT_COUNTED)
    assert ExitCode.DONE not in (*FINAL, *NOT_COUNTED)
    retried = set(ExitCode) - set(FINAL) - set(NOT_COUNTED) - {ExitCode.DONE}
    retryable = {
        ExitCode.UNAVAILABLE,
        ExitCode.INTERNAL,
        ExitCode.STALLED,
        ExitCode.GPU_FAILED,
        ExitCode.STORAGE_FULL,
    }
    assert retried == retryable


def test_exit_codes_are_not_those_of_signals_or_the_shell() -> None:
    assert all(code == 0 or 2 < code < 126 for code in ExitCode)
