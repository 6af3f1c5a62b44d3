"""The example of preferences: its data are understood whole by the product, and its spec asks for what can be met."""

from __future__ import annotations

from pathlib import Path

import yaml

from lora_contract.finetune import LoRAFineTuneSpec
from lora_demo import up
from lora_demo.platform import manifest
from support.prepared_data import Result, data_file, run

ROWS = 100


def example() -> LoRAFineTuneSpec:
    return LoRAFineTuneSpec.read(yaml.safe_load(manifest("preference.yaml").read_text())["spec"], cluster=True)


def prepared(folder: Path) -> Result:
    """The data of the example, prepared as its spec says, with a tokenizer of bytes."""
    generator = up.data_generator("preference_data.py")
    generator.write(folder / "rows.jsonl", ROWS)
    file = data_file(folder, "a.jsonl", (folder / "rows.jsonl").read_bytes())
    return run(folder, [file], method={"dpo": {}}, training__maxLength=512)


def test_the_data_are_the_same_for_the_same_seed_and_never_repeat(tmp_path: Path) -> None:
    generator = up.data_generator("preference_data.py")
    generator.write(tmp_path / "a.jsonl")
    generator.write(tmp_path / "b.jsonl")

    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert len({row["prompt"] for row in generator.rows(400, 7)}) == 400


def test_every_row_is_a_pair_of_answers_that_say_the_same_in_another_manner(tmp_path: Path) -> None:
    found = prepared(tmp_path).profile
    # None is bad or repeated, and length tells nothing
    assert (found.rows["train"], found.bad_rows, found.duplicate_rows) == (ROWS, 0, 0)
    assert found.preferences is not None
    assert 0.8 < found.preferences.chosen_tokens / found.preferences.rejected_tokens < 1.25
    # Both answers hold the fact
    generator = up.data_generator("preference_data.py")
    for row in generator.rows(ROWS, 7):
        chosen, rejected = (set(row[name].split()) for name in ("chosen", "rejected"))
        assert any(word.endswith("day.") for word in chosen & rejected)


def test_the_example_asks_for_a_method_and_a_gate_on_it() -> None:
    spec = example()
    assert spec.method is not None
    assert spec.method.name == "dpo"
    assert spec.evaluation.gate.min_preference_accuracy == 0.9
