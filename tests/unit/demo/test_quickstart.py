"""The quickstart: its data, its spec, and the answers that are read from a report."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from lora_contract.finetune import LoRAFineTuneSpec
from lora_demo import up
from lora_demo.platform import manifest
from lora_demo.samples import samples

_REPORT = """<section><div class="sample">
<div class="prompt"><p class="label">Prompt</p><p class="text">What &amp; why?</p></div>
<div><p class="label">Base</p><p class="text">No.</p></div>
<div><p class="label a">Adapter</p><p class="text">{"a": 1}</p></div></div></section><p class="text">other</p>"""


def test_the_data_are_the_same_for_the_same_seed_and_never_repeat(tmp_path: Path) -> None:
    generator = up.data_generator()
    generator.write(tmp_path / "a.jsonl")
    generator.write(tmp_path / "b.jsonl")
    text = (tmp_path / "a.jsonl").read_text()
    assert text == (tmp_path / "b.jsonl").read_text()
    rows = [json.loads(line)["messages"] for line in text.splitlines()]
    notes = [question["content"] for question, _ in rows]
    assert 300 <= len(set(notes)) == len(rows) <= 600
    forms = [json.loads(answer["content"]) for _, answer in rows]
    assert {tuple(form) for form in forms} == {("age", "sex", "complaint", "urgency", "department")}


def test_every_field_of_a_form_follows_from_its_note() -> None:
    for row in up.data_generator().rows(200, 3):
        question, answer = row["messages"]
        note, form = question["content"].lower(), json.loads(answer["content"])
        assert str(form["age"]) in note
        assert form["sex"] in note
        assert form["complaint"] in note


def test_the_quickstart_is_a_valid_spec() -> None:
    spec = LoRAFineTuneSpec.model_validate(yaml.safe_load(manifest("quickstart.yaml").read_text())["spec"])
    assert spec.evaluation.gate.min_json_fields == 0.9


def test_samples_are_read_from_a_report_by_their_labels() -> None:
    assert samples(_REPORT) == [{"Prompt": "What & why?", "Base": "No.", "Adapter": '{"a": 1}'}]
