"""Templates are programs of other people: what they raise names line and row, what they read is the same every day."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import pytest

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_trainer.data import pipeline
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.rows import Message
from lora_trainer.errors import TrainerError
from support.chat_models import CHATML
from support.chat_templates import TRIGGER, on_trigger, template
from support.prepared_data import chat, data_file, lines, spec

CONVERSATION = (Message("user", "Q"), Message("assistant", "A"))

FAILURES = {
    "{}.missing.again": "has no attribute 'missing'",
    "1 / 0": "ZeroDivisionError: division by zero",
    "range(10 ** 9)": "OverflowError: Range too big",
    "'x' | int('y') + 1": "TypeError",
    "'%d' % 'x'": "TypeError",
    "messages.__class__.__mro__": "is unsafe",
    "messages.append(1)": "is unsafe",
    "'a' | strftime": "No filter named 'strftime'",
    "raise_exception('roles must alternate')": "roles must alternate",
}
RECURSION = "{% macro again(n) %}\n{{ again(n + 1) }}{% endmacro %}"


def _run(folder: Path, source: str, **changes: object) -> DataProfile:
    rows = data_file(folder, "rows.jsonl", lines([chat("Q", "A"), chat(TRIGGER, "B"), chat("R", "C")]))
    into = folder / "out"
    into.mkdir()
    return pipeline.run(spec(**changes), Dataset([rows]), template(source), into)


@pytest.mark.parametrize("harm", FAILURES)
def test_what_a_template_raises_on_a_row_is_of_the_model_with_its_line_and_the_row(harm: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as raised:
        _run(tmp_path, on_trigger(harm))

    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert raised.value.param in ("rows.jsonl:2", "rows.jsonl:1")  # an unknown filter fails before any row
    assert FAILURES[harm] in raised.value.message
    assert "(line 4 of the template)" in raised.value.message
    assert raised.value.hint


def test_a_template_that_calls_itself_without_end_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"line 2: .* calls itself without end \(line 2 of the template\)") as raised:
        _run(tmp_path, RECURSION + on_trigger("again(0)"))

    assert raised.value.exit_code is ExitCode.UNSUPPORTED


def test_rows_that_a_template_refuses_on_purpose_may_be_left_out(tmp_path: Path) -> None:
    profile = _run(tmp_path, on_trigger("raise_exception('no such turn')"), dataset__onBadRows="Skip")

    assert profile.rows["train"] == 2
    assert "is refused by the chat template of example/model: no such turn" in profile.bad_row_examples[0]


def test_a_template_that_reads_the_clock_is_known_after_its_check() -> None:
    dated = template("{% if messages | length > 2 %}{{ strftime_now('%Y') }}{% endif %}" + CHATML)
    dated.check()

    assert dated.reads_clock
    assert dated.render((*CONVERSATION, *CONVERSATION)).startswith("2024")
    dated.today = date(2031, 5, 6)
    assert dated.render((*CONVERSATION, *CONVERSATION)).startswith("2031")


@pytest.mark.parametrize(
    "source", [CHATML, "{{ date_string if date_string is defined else strftime_now('%d') }}" + CHATML]
)
def test_a_template_that_reads_no_clock_depends_on_no_date(source: str) -> None:
    made = template(source)
    made.check()

    assert not made.reads_clock


def test_what_a_template_draws_is_the_same_each_time() -> None:
    drawing = template("{{ range(90000) | random }}{{ lipsum(1) }}" + CHATML)
    random.seed(1)
    first = drawing.render(CONVERSATION)
    random.seed(2)

    assert drawing.render(CONVERSATION) == first


def test_what_is_wrong_with_a_template_of_the_users_own_is_mended_there() -> None:
    made = template("{% if %}")
    made.param = spec_paths.CHAT_TEMPLATE

    with pytest.raises(TrainerError) as raised:
        made.check()

    assert raised.value.hint == "correct the template in spec.chat.template"


def test_draws_begin_anew_also_where_their_name_is_put_together() -> None:
    made = template("{{ [range(10 ** 4) | list] | map('ran' ~ 'dom') | join }}" + CHATML)

    assert len({made.render([Message("user", "Q")]) for _ in range(3)}) == 1
