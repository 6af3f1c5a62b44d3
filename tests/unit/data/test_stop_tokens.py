"""What ends the answers is told from prepare to train, whatever counts for the loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.chat_models import FAMILIES, tokenizer
from support.prepared_data import chat, data_file, lines, run

#: Where the template ends an answer at another token than the end token of the tokenizer.
OTHERS = {"phi3": "<|end|>", "gemma": "<end_of_turn>"}


@pytest.mark.parametrize("train_on", ["assistant", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_profile_names_the_token_that_ends_the_answers(family: str, train_on: str, tmp_path: Path) -> None:
    rows = [chat("One?", "1.", "Two?", "2."), chat("Three?", "3.")]

    found = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], family=family, training__trainOn=train_on)

    stop = OTHERS.get(family, FAMILIES[family].eos)
    assert found.profile.stop_tokens == [tokenizer(family).convert_tokens_to_ids(stop)]
