"""`lora-trainer run` on preferences: from rows to an adapter that prefers what they prefer, or to what is wrong."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST, MODEL_CARD
from lora_trainer.command.local import GATE_MISSED
from support.local_runs import LocalRun, local_run
from support.prepared_data import lines

GATE = {"samples": 0, "gate": {"minPreferenceAccuracy": 0.9}}


def run_on(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> LocalRun:
    run = local_run(folder, gpus=0, **changes)
    (folder / "data.jsonl").write_bytes(lines(rows))
    return run


def pairs(count: int) -> list[dict[str, Any]]:
    """Sums whose answer is a digit; the rejected answer is a letter."""
    source = random.Random(0)
    return [
        {"prompt": f"{n} + 1?", "chosen": str(source.randint(0, 9)), "rejected": source.choice("abcdef")}
        for n in range(count)
    ]


def labelled(count: int) -> list[dict[str, Any]]:
    """The same answers, each with its label."""
    return [
        {"prompt": pair["prompt"], "completion": pair[name], "label": name == "chosen"}
        for pair in pairs(count // 2)
        for name in ("chosen", "rejected")
    ]


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_an_adapter_learns_what_is_preferred(method: str, tmp_path: Path) -> None:
    # Preferences of digits before letters
    rows = pairs(120) if method == "dpo" else labelled(240)
    run = run_on(tmp_path, rows, method={method: {"beta": 0.5}}, evaluation=GATE)
    # They are prepared, trained on and measured by one command
    ended = run.run_forked()
    assert ended.code == ExitCode.DONE, ended.output
    # It says how long answers are, and how often base and adapter prefer what the rows prefer
    assert "chosen answers have 2.0 tokens on average, rejected ones 2.0" in ended.output
    assert re.search(r"base model preferred rightly: [0-9.]+\nof the adapter: (1|0\.9)", ended.output)
    manifest = json.loads((run.published / MANIFEST).read_text())
    assert method in manifest["method"]
    # What was learned holds for rows that were not trained on
    assert float(manifest["metrics"]["preferences"]["accuracy"]) >= 0.9
    assert float(manifest["metrics"]["bestEvalAccuracy"]) >= 0.9
    # The report shows the first row, with both answers marked where it is a pair
    (first,) = re.findall(r"First training (.*?)</section>", run.report(), re.DOTALL)
    assert first.startswith("pair, the chosen answer" if method == "dpo" else "row;")
    assert first.count("<mark>") == (3 if method == "dpo" else 2)  # the legend has one of its own
    assert (run.published / MODEL_CARD).is_file()


def test_only_wanted_answers_are_references(tmp_path: Path) -> None:
    # Of two answers to a prompt one is wanted: digits, not letters
    run = run_on(tmp_path, labelled(160), method={"kto": {}}, evaluation={"samples": 8, "maxNewTokens": 2})
    ended = run.run_forked()
    assert ended.code == ExitCode.DONE, ended.output
    # Generated answers stand beside answers that should be given
    references = re.findall(r">Reference</p><p class=\"text\">([^<]*)<", run.report())
    assert len(references) == 8
    assert all(reference.isdigit() for reference in references)


def test_a_gate_that_nothing_could_reach_is_missed(tmp_path: Path) -> None:
    # Nothing tells which of two letters is preferred
    source = random.Random(1)
    rows = [
        {"prompt": f"{n}?", "chosen": letters[0], "rejected": letters[1]}
        for n in range(120)
        if (letters := source.sample("abcdef", 2))
    ]
    ended = run_on(tmp_path, rows, method={"dpo": {}}, evaluation=GATE).run_forked()
    assert ended.code == GATE_MISSED, ended.output
    assert "is below gate.minPreferenceAccuracy 0.9" in ended.output


def test_a_pair_without_a_preference_ends_before_anything_is_trained(tmp_path: Path) -> None:
    rows = pairs(20)
    rows[4]["rejected"] = rows[4]["chosen"]
    ended = run_on(tmp_path, rows, method={"dpo": {}}).run_forked()
    assert ended.code == ExitCode.BAD_DATA
    assert "data.jsonl, line 5: chosen and rejected are equal" in ended.output
    assert "what to do: leave the row out" in ended.output
    assert ended.steps == []
