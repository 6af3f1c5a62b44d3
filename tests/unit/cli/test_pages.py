"""Pages of `kubectl lora compare` and `sweep`: what they show, and that nothing in them runs or is loaded."""

from __future__ import annotations

import copy
import json
import re
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from lora_cli.curves import RunCurves, parse_curves
from lora_contract import names
from lora_pages.points import Point
from support.cli import Plugin
from support.cli_demo import PLAN, complete, run
from support.cli_published import metrics, publish
from support.cli_sweep import artifact, sweep
from support.html_page import HtmlPage
from support.stub_cluster import StubCluster

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' {{ 7 * 7 }}"


@pytest.fixture
def lora(kubectl_lora: Plugin, cluster: StubCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """The command line with credentials, in an empty folder, beside two published adapters of which one is worse."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "s"), ("EC2_METADATA_DISABLED", "true")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv(names.ENV_S3_ENDPOINT, cluster.url)
    better, worse = complete(), complete()
    worse["metadata"] |= {"name": "worse", "uid": "uid-worse"}
    worse["status"]["artifact"]["uri"] += "0"
    worse["status"] |= {"error": {"code": "QualityGateFailed", "message": "right fields 71 % are below 90 %"}}
    for each, end in ((better, 0.006), (worse, 0.08)):
        each["spec"]["evaluation"] = {"gate": {"minJsonFields": 0.9}}
        publish(cluster, each["status"]["artifact"], {"metrics.jsonl": metrics(24, end)})
    cluster.runs = [better, worse, *(each for each in cluster.runs if each["metadata"]["name"] != "triage")]
    return kubectl_lora


def trial_run(cluster: StubCluster, number: int) -> dict[str, Any]:
    """The run of a trial, whose adapter is published."""
    name = f"rates-{number:02d}"
    body = run(name, {"phase": "Complete", "plan": PLAN, "usage": {"gpuSeconds": 430}, "artifact": artifact(name)})
    body["metadata"]["labels"] = {names.LABEL_SWEEP: "rates"}
    publish(cluster, body["status"]["artifact"], {"metrics.jsonl": metrics(24, 0.01 * (number + 1))})
    return body


def test_runs_are_compared_on_one_page_with_their_curves_over_each_other(lora: Plugin, tmp_path: Path) -> None:
    said = lora("compare", "triage", "worse", "triage-v2", "--page", "compared.html")

    assert (said.code, said.out.splitlines()[-1]) == (0, "compared.html")
    html = (tmp_path / "compared.html").read_text(encoding="utf-8")
    page = HtmlPage(html)
    assert page.loads == []
    assert "default-src 'none'" in html
    assert page.values("svg", "aria-label") == ["Evaluation loss by optimiser step", "Training loss by optimiser step"]
    lines = [(style or "").removeprefix("line ") for style in page.values("polyline", "class")]
    assert lines == ["a", "b", "a", "b"]
    for shown in ("triage (lowest test loss)", "0.0059", "7 min 10 s", "missed", "right fields 71 % are below 90 %"):
        assert shown in html
    assert "Without an adapter there are no curves in S3 yet: triage-v2." in html
    assert "Without an adapter there are no curves in S3 yet: triage-v2." in said.err


def test_curves_that_cannot_be_read_are_told_and_the_rest_is_shown(
    lora: Plugin, cluster: StubCluster, tmp_path: Path
) -> None:
    address = next(address for address in cluster.objects if address.endswith("metrics.jsonl"))
    cluster.objects[address] = cluster.objects[address].replace(b"0.0002", b"0.0003")

    said = lora("compare", "triage", "worse", "--page", "compared.html")

    assert said.code == 0
    assert "The curves of triage are not known: " in said.err
    assert "is not what the manifest says" in said.err
    html = (tmp_path / "compared.html").read_text(encoding="utf-8")
    assert "The curves of triage are not known" in html
    assert HtmlPage(html).values("polyline", "class") == ["line b", "line b"]


def test_without_rights_in_s3_it_is_asked_twice_and_no_more(lora: Plugin, cluster: StubCluster, tmp_path: Path) -> None:
    cluster.runs += [trial_run(cluster, number) for number in range(5)]
    cluster.refusals["manifest.json"] = (403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

    said = lora("sweep", "rates", "--page", "rates.html")

    assert said.code == 0
    assert said.err.count("that needs s3:GetObject") == 2
    assert "No more curves were asked for after these failures." in said.err
    assert "Lowest evaluation loss so far" in (tmp_path / "rates.html").read_text(encoding="utf-8")


def test_a_sweep_shows_its_trials_over_their_fields_and_the_best(
    lora: Plugin, cluster: StubCluster, tmp_path: Path
) -> None:
    cluster.runs += [trial_run(cluster, number) for number in (0, 4)]

    said = lora("sweep", "rates", "--page", "rates.html")

    assert said.code == 0, said.err
    assert re.search(r"^rates-04 +16 +0.0002 +Complete +0.0068 +0.0059 +7 min 10 s +best$", said.out, re.MULTILINE)
    assert re.search(r"^rates-02 .* stopped at 40 %$", said.out, re.MULTILINE)
    html = (tmp_path / "rates.html").read_text(encoding="utf-8")
    page = HtmlPage(html)
    assert page.loads == []
    assert page.values("svg", "aria-label") == [
        "Trials over lora.r, training.learningRate and evaluation loss",
        "Evaluation loss of trials by lora.r",
        "Evaluation loss of trials by training.learningRate",
        "Evaluation loss by optimiser step",
        "Lowest evaluation loss so far by share of a trial's steps in percent",
    ]
    assert page.values("polyline", "class").count("line chosen") == 3
    assert ("title", "rates-04: 0.0068; lora.r 16, training.learningRate 0.0002") in page.texts


def test_a_hundred_trials_stay_readable(lora: Plugin, cluster: StubCluster, tmp_path: Path) -> None:
    body = sweep()
    first = body["status"]["trials"][0]
    body["status"]["trials"] += [
        copy.deepcopy(first) | {"name": f"rates-{n:02d}", "parameters": {"lora.r": f"{n}", "training.seed": f"{n}"}}
        for n in range(6, 100)
    ]
    cluster.sweeps = [body]

    assert lora("sweep", "rates", "--page", "rates.html").code == 0

    html = (tmp_path / "rates.html").read_text(encoding="utf-8")
    assert len(html) < 500_000
    assert "the others; their names show where you point" in html
    assert HtmlPage(html).values("polyline", "class").count("line faint") == 99


def test_trials_whose_losses_mean_other_things_are_ranked_by_accuracy(
    lora: Plugin, cluster: StubCluster, tmp_path: Path
) -> None:
    body = sweep()
    for trial in body["status"]["trials"]:
        trial["parameters"] = {"method.dpo.beta": trial["parameters"]["training.learningRate"]}
    cluster.sweeps = [body]
    measured = trial_run(cluster, 4)
    measured["status"]["metrics"] = {"bestEvalAccuracy": "0.875"}
    cluster.runs.append(measured)

    said = lora("sweep", "rates", "--page", "rates.html")

    assert "EVALUATION ACCURACY" in said.out
    html = (tmp_path / "rates.html").read_text(encoding="utf-8")
    assert "Evaluation accuracy: higher is better" in html
    assert "0.8750" in html


def _poisoned(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {
            (f"{name}{HOSTILE}" if key == "parameters" else name): _poisoned(item, name) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_poisoned(item, key) for item in value]
    kept = ("name", "namespace", "uid", "phase", "uri", "manifestDigest", "bestEvalLoss", "trial")
    return value + HOSTILE if isinstance(value, str) and key not in kept and not key.endswith("Time") else value


@pytest.mark.parametrize("words", [("compare", "triage", "worse"), ("sweep", "rates")], ids=" ".join)
def test_hostile_words_stay_text(lora: Plugin, cluster: StubCluster, tmp_path: Path, words: tuple[str, ...]) -> None:
    for name in ("worse", "triage"):
        body = next(each for each in cluster.runs if each["metadata"]["name"] == name)
        body |= {part: _poisoned(body[part]) for part in ("spec", "status")}
    cluster.sweeps = [sweep() | {"status": _poisoned(sweep()["status"])}]

    said = lora(*words, "--page", "page.html")

    assert said.code == 0, said.err
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = HtmlPage(html)
    assert page.loads == []
    assert any("alert(1)" in text for _, text in page.texts)
    assert "{{ 7 * 7 }}" in html


def test_long_words_are_cut(lora: Plugin, cluster: StubCluster, tmp_path: Path) -> None:
    cluster.runs[1]["spec"]["dataset"]["systemPrompt"] = "long " * 20_000

    assert lora("compare", "triage", "worse", "--page", "page.html").code == 0

    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(html) < 100_000
    assert "more characters)" in html


def test_tables_have_heads_and_what_scrolls_can_be_reached_by_keys(lora: Plugin, tmp_path: Path) -> None:
    lora("compare", "triage", "worse", "--page", "compared.html")
    lora("sweep", "rates", "--page", "rates.html")

    for name in ("compared.html", "rates.html"):
        page = HtmlPage((tmp_path / name).read_text(encoding="utf-8"))
        assert set(page.values("th", "scope")) == {"row", "col"}
        assert page.tags.count("th") == len(page.values("th", "scope"))
        scrolled = page.values("div", "class").count("scroll")
        assert scrolled > 2
        assert len(page.values("div", "tabindex")) == len(page.values("div", "aria-label")) == scrolled
        assert page.tags.count("svg") == len(page.values("svg", "aria-label"))


def test_the_page_is_opened_where_that_is_asked_for(
    lora: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    assert lora("sweep", "rates", "--open").out.endswith("rates-sweep.html\n")
    assert lora("compare", "triage", "worse", "--open", "--page", "mine.html").code == 0

    assert opened == [(tmp_path / name).as_uri() for name in ("rates-sweep.html", "mine.html")]


def test_what_cannot_be_written_or_told_apart_is_named(lora: Plugin, cluster: StubCluster) -> None:
    assert "no/page.html cannot be written" in lora("compare", "triage", "worse", "--page", "no/page.html").err
    cluster.runs = [complete() | {"metadata": complete()["metadata"] | {"name": f"run-{n}"}} for n in range(15)]
    said = lora("compare", *(f"run-{n}" for n in range(15)), "--page", "page.html")
    assert "A page tells 14 runs apart at most; name fewer." in said.err


def test_the_object_of_a_sweep_is_printed_as_it_is(lora: Plugin) -> None:
    assert json.loads(lora("sweep", "rates", "-o", "json").out) == sweep()
    assert "There is no LoRASweep rate in namespace team-a." in lora("sweep", "rate").err


def test_lines_of_another_form_are_passed_over() -> None:
    lines = [
        b'{"step": 1, "loss": 2.0, "eval_loss": 1.5}',
        b'{"step": 2, "loss": NaN}',
        b'{"step": 3, "loss": true, "eval_loss": "1"}',
        b'{"step": 4, "loss": 1' + b"0" * 400 + b"}",
        b'{"step": -1, "loss": 1.0}',
        b'{"step": "5", "loss": 1.0}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"step": 6, "loss": 1}',
        b'{"final": {"testLoss": 1}}',
    ]

    found = parse_curves(b"\n".join(lines))

    assert found == RunCurves((Point(1, 2.0), Point(6, 1.0)), (Point(1, 1.5),))
