"""What nothing could be measured for ends in prepare, not after a full training; followed, each hint helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from support.prepare_orders import place
from support.prepared_data import chat, lines

ONLY_TRAINING_ROWS = {"dataset__split": {"validation": 1e-9, "test": 1e-9}}
#: A chat template that shows tools, as the model of these tests has none; CALL is how it writes a call.
TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% for c in m.tool_calls or [] %}CALL{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HERMES = TEMPLATE.replace("CALL", "{{ '<tool_call>' + c.function | tojson + '</tool_call>' }}")
#: Leaves out the names of arguments.
UNREADABLE = TEMPLATE.replace("CALL", "{{ c.function.name ~ ': ' ~ c.function.arguments.values() | join(', ') }}")
GATES: list[dict[str, Any]] = [{"maxLossRatio": 0.9}, {"minExactMatch": 0.5}, {"minJsonFields": 0.5}]


def refusal(folder: Path, **changes: Any) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        place(folder, **changes).prepare()
    assert raised.value.exit_code is ExitCode.BAD_DATA
    return raised.value


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_on_test_rows_needs_one_after_the_split(gate: dict[str, Any], tmp_path: Path) -> None:
    error = refusal(tmp_path, evaluation__gate=gate, **ONLY_TRAINING_ROWS)

    assert error.param == "spec.dataset.split.test"
    assert "no row fell into the test split, and evaluation.gate needs some" in error.message
    (tmp_path / "test.jsonl").write_bytes(lines([chat("And now?", '{"a": 1}')]))
    own = {"dataset__testUri": f"file://{tmp_path}/test.jsonl"}
    assert place(tmp_path, evaluation__gate=gate, **ONLY_TRAINING_ROWS, **own).prepare().plan
    assert place(tmp_path, **ONLY_TRAINING_ROWS).prepare().plan


def test_a_gate_needs_rows_at_an_address_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_bytes(b"\n")
    own = {"dataset__testUri": f"file://{tmp_path}/test.jsonl"}

    error = refusal(tmp_path, evaluation__gate={"maxLossRatio": 0.9}, **own)

    assert error.param == "spec.dataset.testUri"
    assert "dataset.testUri holds no row that can be used" in error.message
    report = place(tmp_path, **own).prepare()
    assert "dataset.testUri holds no row that can be used: base and adapter are not compared" in report.warnings


def test_early_stopping_needs_a_validation_row_after_the_split(tmp_path: Path) -> None:
    training = {"epochs": 1, "earlyStopping": {"patience": 2}}

    error = refusal(tmp_path, training=training, **ONLY_TRAINING_ROWS)

    assert error.param == "spec.dataset.split.validation"
    assert "training.earlyStopping needs some" in error.message
    assert place(tmp_path, training=training, dataset__split={"validation": 0.3}).prepare().plan


def test_a_gate_on_json_needs_answers_that_are_json_objects(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_bytes(lines([chat("One?", '{"a": 1}'), chat("Two?", "two"), chat("Three?", "[3]")]))
    own = {"dataset__testUri": f"file://{tmp_path}/test.jsonl"}

    error = refusal(tmp_path, evaluation__gate={"minJsonFields": 0.9}, **own)

    assert error.param == "spec.evaluation.gate.minJsonFields"
    assert "test rows that are answered and whose right answer is none: 2 of 3" in error.message
    # rows that are not answered do not count, and another measure can be taken
    one = {"samples": 1, "gate": {"minJsonFields": 0.9}}
    assert place(tmp_path, evaluation=one, **own).prepare().plan
    assert place(tmp_path, evaluation__gate={"minExactMatch": 0.9}, **own).prepare().plan


def with_tools(question: str, city: str | None) -> dict[str, Any]:
    """A row that offers a tool, and calls it where there is a city."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "get_weather", "description": "Tells the weather", "parameters": parameters}
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
    answer = {"role": "assistant", "content": "Hello."} if city is None else {"role": "assistant", "tool_calls": [call]}
    return {
        "messages": [{"role": "user", "content": question}, answer],
        "tools": [{"type": "function", "function": function}],
    }


def test_a_gate_on_tool_calls_needs_test_rows_that_offer_tools(tmp_path: Path) -> None:
    plain, calling = chat("One?", "one"), with_tools("Weather in Oslo?", "Oslo")
    own: dict[str, Any] = {"dataset__testUri": f"file://{tmp_path}/test.jsonl", "chat__template": HERMES}
    gate = {"minToolCalls": 0.9}
    # None does
    (tmp_path / "test.jsonl").write_bytes(lines([plain]))
    error = refusal(tmp_path, evaluation__gate=gate, **own)
    assert error.param == "spec.evaluation.gate.minToolCalls"
    assert "needs test rows that offer tools, and none does" in error.message
    # Some do, but none of those that are answered
    (tmp_path / "test.jsonl").write_bytes(lines([plain, calling]))
    error = refusal(tmp_path, evaluation={"samples": 1, "gate": gate}, **own)
    assert "test rows that are answered and offer some: 0 of 1" in error.message
    assert "raise evaluation.samples, now 1" in str(error.hint)
    # More answers help, and so do rows that offer tools and need none
    assert place(tmp_path, evaluation={"samples": 2, "gate": gate}, **own).prepare().plan
    (tmp_path / "test.jsonl").write_bytes(lines([with_tools("Hello?", None)]))
    assert place(tmp_path, evaluation__gate=gate, **own).prepare().plan


def test_a_gate_on_tool_calls_needs_calls_that_can_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_bytes(lines([with_tools("Weather in Oslo?", "Oslo")]))
    own: dict[str, Any] = {"dataset__testUri": f"file://{tmp_path}/test.jsonl", "chat__template": UNREADABLE}

    with pytest.raises(TrainerError) as raised:
        place(tmp_path, evaluation__gate={"minToolCalls": 0.9}, **own).prepare()

    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert raised.value.param == "spec.evaluation.gate.minToolCalls"
    assert "cannot be read back" in raised.value.message
    # Without the gate it is a warning; followed, the hint helps
    warning = "tool calls in answers are not judged: the calls that the chat template writes cannot be read back"
    assert any(each.startswith(warning) for each in place(tmp_path, **own).prepare().warnings)
    own["chat__template"] = HERMES
    report = place(tmp_path, evaluation__gate={"minToolCalls": 0.9}, **own).prepare()
    assert not any("tool calls" in each for each in report.warnings)


def test_a_gate_on_answers_needs_a_prompt_that_fits(tmp_path: Path) -> None:
    # Test rows whose last question alone is longer than a row may be
    turns = [*chat("One?", json.dumps({"a": 1}))["messages"], *chat("word " * 200, "{}")["messages"]]
    (tmp_path / "test.jsonl").write_bytes(lines([{"messages": turns}]))
    changes: dict[str, Any] = {
        "dataset__testUri": f"file://{tmp_path}/test.jsonl",
        "training": {"epochs": 1, "maxLength": 64},
    }

    error = refusal(tmp_path, evaluation__gate={"minExactMatch": 0.9}, **changes)

    assert error.param == "spec.training.maxLength"
    assert "none is answered" in error.message
    assert place(tmp_path, evaluation__gate={"maxLossRatio": 0.9}, **changes).prepare().plan
