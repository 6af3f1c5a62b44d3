"""The example of tool calls: its data are understood whole by the product, and its template shows them."""

from __future__ import annotations

from pathlib import Path

import yaml

from lora_contract.finetune import LoRAFineTuneSpec
from lora_demo import up
from lora_demo.platform import manifest
from lora_trainer.data.conversations import conversation
from lora_trainer.data.template import tool_call_form
from support import chat_templates


def _spec() -> LoRAFineTuneSpec:
    return LoRAFineTuneSpec.model_validate(yaml.safe_load(manifest("tools.yaml").read_text())["spec"])


def test_the_data_are_the_same_for_the_same_seed_and_never_repeat(tmp_path: Path) -> None:
    generator = up.data_generator("tools_data.py")
    generator.write(tmp_path / "a.jsonl")
    generator.write(tmp_path / "b.jsonl")

    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    questions = [row["messages"][0]["content"] for row in generator.rows(400, 7)]
    assert len(set(questions)) == 400


def test_rows_have_calls_that_fit_their_tools_several_calls_and_none() -> None:
    counts = set()
    for row in up.data_generator("tools_data.py").rows(200, 3):
        talk = conversation.check(row["messages"], row["tools"])  # holds each call against its schema
        calls = talk.messages[-1].tool_calls
        counts.add(len(calls))
        for call in calls:
            assert all(str(value) in talk.messages[0].content for value in call.arguments.values())
    assert counts == {0, 1, 2}


def test_the_template_of_the_example_shows_tools_and_its_calls_are_read_back() -> None:
    template = chat_templates.template(_spec().chat.template or "")
    template.check()

    assert template.tools.offered
    assert template.tools.parallel
    assert template.tools.results
    form = tool_call_form.find(template)
    assert form is not None
    assert (form.kind, form.open.strip(), form.close.strip()) == ("call", "<tool_call>", "</tool_call>")
