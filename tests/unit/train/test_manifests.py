from __future__ import annotations

import pytest

from lora_trainer.command import yaml_documents


@pytest.mark.parametrize(
    ("text", "value"), [("2e-4", 2e-4), ("1E3", 1000.0), ("1.5e+2", 150.0), ("-3e-1", -0.3), ("0.0002", 2e-4)]
)
def test_numbers_with_an_exponent_are_numbers_as_for_kubectl(text: str, value: float) -> None:
    assert yaml_documents.documents(f"learningRate: {text}") == [{"learningRate": value}]


@pytest.mark.parametrize("text", ["5a14e", "e4", "1e", "v1e4"])
def test_words_stay_words(text: str) -> None:
    assert yaml_documents.documents(f"revision: {text}") == [{"revision": text}]
