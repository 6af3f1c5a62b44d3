"""A reasoning model still thinks after training, and its template is published as it was trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lora_contract.exit_codes import ExitCode
from support.local_runs import LocalRun, local_run
from support.published_templates import source

THOUGHT, ANSWER = "It is wet", "Rain"
#: Enough to learn two short texts by heart.
RECIPE: dict[str, Any] = {
    "training__maxSteps": 40,
    "training__evalSteps": 40,
    "training__saveSteps": 40,
    "training__maxLength": 256,
    "lora__r": 16,
    "lora__alpha": 32,
    "lora__dropout": 0,
    "evaluation__maxNewTokens": 48,
}


def _run(folder: Path, **changes: Any) -> LocalRun:
    run = local_run(folder, gpus=0, **{**RECIPE, **changes})
    (folder / "model" / "chat_template.jinja").write_text(source("qwen3"))
    return run


def _write(run: LocalRun, **more: str) -> None:
    answer = {"role": "assistant", "content": ANSWER, **more}
    rows = ({"messages": [{"role": "user", "content": f"Weather {n}?"}, answer]} for n in range(80))
    (run.folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.learning
def test_what_it_thinks_is_learned(tmp_path: Path) -> None:
    # Rows with reasoning, for a template that writes it into a think block
    run = _run(tmp_path)
    _write(run, reasoning_content=THOUGHT)
    # An adapter is trained
    ended = run.run()
    # It thinks before it answers
    assert ended.code == ExitCode.DONE, ended.output
    assert f"&lt;think&gt;\n{THOUGHT}\n&lt;/think&gt;\n\n{ANSWER}" in run.report()
    assert float(run.final()["exactMatch"]) == 1
    assert "answers without reasoning" not in ended.output


@pytest.mark.learning
def test_reasoning_that_is_switched_off_stays_off_for_servers(tmp_path: Path) -> None:
    # Rows without reasoning, and a template that is told so
    run = _run(tmp_path, chat__templateArgs={"enable_thinking": "false"})
    _write(run)
    # An adapter is trained
    ended = run.run()
    # Whoever asks with the published template asks as it was trained, unless told otherwise
    assert ended.code == ExitCode.DONE, ended.output
    assert "answers without reasoning" not in ended.output
    published = AutoTokenizer.from_pretrained(run.published)
    question = [{"role": "user", "content": "Weather 1?"}]
    asked: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
    assert published.apply_chat_template(question, **asked).endswith("assistant\n<think>\n\n</think>\n\n")
    assert published.apply_chat_template(question, enable_thinking=True, **asked).endswith("assistant\n")
