"""Tool calls in answers are counted against those of the references, whatever their order."""

from __future__ import annotations

import json

import pytest

from lora_contract.status import ToolCallsStatus
from lora_trainer.data.rows import ToolCall
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.evaluation.tool_calls import count, right_share

HERMES = ToolCallForm(kind="call", open="<tool_call>", close="</tool_call>", name_key="name", arguments_key="arguments")
OSLO, ROME = ToolCall("get_weather", {"city": "Oslo"}), ToolCall("get_weather", {"city": "Rome"})
TIMER = ToolCall("set_timer", {"minutes": 5, "label": "tea"})
HALF = '<tool_call>{"name": "get_weather", '


def said(*calls: ToolCall) -> str:
    """An answer with these calls."""
    made = (json.dumps({"name": call.name, "arguments": call.arguments}) for call in calls)
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in made)


@pytest.mark.parametrize(
    ("answer", "wanted", "counts"),
    [
        pytest.param(said(OSLO), (OSLO,), {"right_rows": 1, "right_names": 1, "right_calls": 1}, id="right"),
        pytest.param(said(ROME), (OSLO,), {"right_names": 1}, id="wrong arguments"),
        pytest.param(said(TIMER), (OSLO,), {}, id="wrong name"),
        pytest.param("It rains.", (OSLO,), {"missing": 1}, id="no call"),
        pytest.param("It rains.", (), {"right_rows": 1}, id="none was wanted"),
        pytest.param(said(OSLO), (), {"unwanted": 1}, id="a call where none was wanted"),
        pytest.param(HALF, (OSLO,), {"unreadable": 1}, id="cannot be parsed"),
        pytest.param(HALF, (), {"unreadable": 1, "unwanted": 1}, id="cannot be parsed, and none was wanted"),
        pytest.param(
            said(TIMER, OSLO), (OSLO, TIMER), {"right_rows": 1, "right_names": 2, "right_calls": 2}, id="another order"
        ),
        pytest.param(said(OSLO), (OSLO, OSLO), {"right_names": 1, "right_calls": 1, "missing": 1}, id="once of twice"),
        pytest.param(
            said(OSLO, OSLO), (OSLO,), {"right_names": 1, "right_calls": 1, "unwanted": 1}, id="twice instead of once"
        ),
        pytest.param(said(OSLO, ROME), (OSLO, OSLO), {"right_names": 2, "right_calls": 1}, id="one of two right"),
        pytest.param(
            said(OSLO) + HALF,
            (OSLO,),
            {"right_names": 1, "right_calls": 1, "unwanted": 1, "unreadable": 1},
            id="a rest",
        ),
    ],
)
def test_an_answer_is_counted(answer: str, wanted: tuple[ToolCall, ...], counts: dict[str, int]) -> None:
    found = count(HERMES, [answer], [wanted])

    right = counts.get("right_rows", 0)
    assert found == ToolCallsStatus(rows=1, wanted=len(wanted), share=f"{right}", **counts)


def test_answers_to_rows_without_tools_do_not_count() -> None:
    found = count(HERMES, [said(OSLO), said(OSLO), "Hello.", said(ROME)], [(OSLO,), None, None, (OSLO,)])

    assert found == ToolCallsStatus(share="0.5", rows=2, right_rows=1, wanted=2, right_names=2, right_calls=1)
    assert right_share(found) == 0.5
    assert count(HERMES, ["Hello."], [None]) is None
    assert count(HERMES, [], []) is None


def test_numbers_and_keys_are_those_of_json() -> None:
    written = '<tool_call>{"arguments": {"label": "tea", "minutes": 5.0}, "name": "set_timer"}</tool_call>'

    found = count(HERMES, [written], [(TIMER,)])

    assert found is not None
    assert found.right_calls == 1
