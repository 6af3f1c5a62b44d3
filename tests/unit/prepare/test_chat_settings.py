"""A template of the user's own and values for its variables: trained with, part of the identity, handed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.template import template_source
from lora_trainer.errors import TrainerError
from support.chat_templates import save_model_with
from support.prepare_orders import Place, place
from support.published_templates import source

WHOLE = "{% for m in messages %}{{ '<|im_start|>' + m.role + ', ' + (tone | default('calm')) + '\n' + m.content }}"
OWN = (
    WHOLE + "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant, ' + (tone | default('calm')) + '\n' }}{% endif %}"
)


def _first_row(run: Place, report: Report) -> str:
    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    return "".join(segment.text for segment in profile.first_example)


def test_values_of_variables_are_rendered_and_handed_over_in_the_template(tmp_path: Path) -> None:
    save_model_with(tmp_path / "model", OWN)
    run = place(tmp_path, chat__templateArgs={"tone": "kind"})

    report = run.prepare()

    assert _first_row(run, report).startswith("<|im_start|>user, kind\n")
    published = run.prepared(report, prepared.CHAT_TEMPLATE).read_text()
    asked: dict[str, Any] = {"chat_template": published, "add_generation_prompt": True}
    conversations = [[{"role": "user", "content": "Q"}]]
    assert ", kind\nQ" in render_jinja_template(conversations, **asked)[0][0]
    assert ", stern\nQ" in render_jinja_template(conversations, tone="stern", **asked)[0][0]


def test_without_settings_no_template_is_handed_over(tmp_path: Path) -> None:
    run = place(tmp_path)

    assert not run.prepared(run.prepare(), prepared.CHAT_TEMPLATE).exists()


@pytest.mark.parametrize("how", ["template", "templateUri"])
def test_a_template_of_ones_own_takes_the_place_of_the_models(how: str, tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(OWN)
    value = OWN if how == "template" else f"file://{tmp_path}/own.jinja"
    run = place(tmp_path, **{f"chat__{how}": value})

    report = run.prepare()

    assert _first_row(run, report).startswith("<|im_start|>user, calm\n")
    assert run.prepared(report, prepared.CHAT_TEMPLATE).read_text() == OWN


def test_another_content_of_the_address_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    run = place(tmp_path, chat__templateUri=f"file://{path}")
    path.write_text(OWN)
    first = run.prepare()
    path.write_text(OWN.replace("calm", "wild"))

    assert run.prepare().run_id != first.run_id


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "an address of nothing": ({"chat__templateUri": "none.jinja"}, "does not exist", "spec.chat.templateUri"),
    "an empty file": ({"chat__templateUri": "empty.jinja"}, "is empty", "spec.chat.templateUri"),
    "a file that is no text": ({"chat__templateUri": "bytes.jinja"}, "is not UTF-8", "spec.chat.templateUri"),
    "a file without measure": (
        {"chat__templateUri": "long.jinja"},
        "where 131,072 are the most",
        "spec.chat.templateUri",
    ),
    "a template that is none": ({"chat__template": "{% for"}, "refuses a plain question", "spec.chat.template"),
    "a template of no prompt": ({"chat__template": WHOLE + "{% endfor %}"}, "as it is asked for", "spec.chat.template"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named_by_its_field(case: str, tmp_path: Path) -> None:
    changes, words, param = BAD[case]
    for name, content in (("empty", b""), ("bytes", b"\xff\xfe"), ("long", b"x" * 131073)):
        (tmp_path / f"{name}.jinja").write_bytes(content)
    if "chat__templateUri" in changes:
        changes = {"chat__templateUri": f"file://{tmp_path}/{changes['chat__templateUri']}"}

    with pytest.raises(TrainerError) as raised:
        place(tmp_path, **changes).prepare()

    assert words in raised.value.message
    assert raised.value.param == param
    assert raised.value.exit_code is not ExitCode.INTERNAL


def test_a_value_for_a_variable_that_the_template_never_reads_is_refused_with_those_that_it_asks_for(
    tmp_path: Path,
) -> None:
    save_model_with(tmp_path / "model", source("qwen3"))

    with pytest.raises(TrainerError, match=r"sets enable_thinkin, which the chat template of .* never reads") as raised:
        place(tmp_path, chat__templateArgs={"enable_thinkin": "false"}).prepare()

    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.chat.templateArgs.enable_thinkin"
    assert raised.value.hint == "it asks for enable_thinking"


ASKED_FOR = {
    "gptoss": ["model_identity", "reasoning_effort"],
    "lfm2_2_5": ["preserve_thinking"],
    "phi3": [],
}


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_a_template_asks_for_is_known(name: str) -> None:
    assert template_source.asked_for(source(name)) == ASKED_FOR[name]


LITERALS = {
    "true": "True",
    "false": "False",
    "7": "7",
    "0.5": "0.5",
    "high": "high",
    '"7"': "7",
    "{{ 1 }}": "{{ 1 }}",
    "%} {% raw": "%} {% raw",
    'a "quoted" \\ 🚑 é\n': 'a "quoted" \\ 🚑 é\n',
    "null": "null",
    "[1]": "[1]",
    "NaN": "NaN",
}


@pytest.mark.parametrize("text", LITERALS)
def test_values_are_read_as_what_they_are(text: str) -> None:
    text_of = template_source.with_arguments("{{ value }}|{{ value is string }}", {"value": text})

    shown = render_jinja_template([[]], chat_template=text_of)[0][0]

    is_text = text not in ("true", "false", "7", "0.5")
    assert shown == f"{LITERALS[text]}|{is_text}"


@pytest.mark.parametrize("name", ["in", "for", "true"])
def test_a_word_of_jinja_is_no_variable(name: str) -> None:
    assert template_source.unread("{% for m in messages if true %}{% endfor %}", {name: "x"}) == name


def test_a_number_beyond_64_bits_stays_the_text_that_it_is() -> None:
    assert '"1e999"' in template_source.with_arguments("{{ value }}", {"value": "1e999"})
