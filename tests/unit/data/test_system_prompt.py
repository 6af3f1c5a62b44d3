"""The system prompt of the spec and those of rows: added, kept, or refused where the template would drop them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.prepared_data import chat, data_file, lines, run


def _texts(rows: list[dict[str, Any]]) -> list[str]:
    return [tokenizer("chatml").decode(row["input_ids"]) for row in rows]


def test_the_system_prompt_is_added_to_rows_that_have_none(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q", "A", system="Own words.")]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__systemPrompt="You are a nurse.")

    first, second = _texts(result.rows())
    assert first.startswith("<|im_start|>system\nYou are a nurse.<|im_end|>")
    assert second.startswith("<|im_start|>system\nOwn words.<|im_end|>")
    assert "nurse" not in second


def test_a_system_prompt_that_the_template_would_drop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TrainerError, match=r"dataset\.systemPrompt is set, but the chat template of example/mistral drops"
    ):
        run(
            tmp_path,
            [data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))],
            family="mistral",
            dataset__systemPrompt="You are a nurse.",
        )


@pytest.mark.parametrize("family", ["gemma", "mistral"])
def test_a_system_turn_that_the_template_would_drop_is_refused(family: str, tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([chat("Q", "A", system="S")]))

    with pytest.raises(
        TrainerError, match=r"line 1: has a system turn, but the chat template of example/.* drops"
    ) as raised:
        run(tmp_path, [file], family=family)

    assert raised.value.hint == "move its text into the first user turn"
