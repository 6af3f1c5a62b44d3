"""Whatever a row of preferences holds, it is understood or refused in words."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from lora_trainer.data import splits
from lora_trainer.data.conversations import preferences
from lora_trainer.data.conversations.row_shape import Shape
from lora_trainer.data.rows import BadRow
from support.conversations import answer, call
from support.published_templates import TOOLS

SHAPES = (
    Shape("preference", prompt="prompt", chosen="chosen", rejected="rejected", system="system"),
    Shape("preferred-output", prompt="input", chosen="preferred_output", rejected="non_preferred_output"),
    Shape("unpaired-preference", prompt="prompt", completion="completion", label="label"),
)
TURNS = st.sampled_from([
    {"role": "user", "content": "Q"},
    {"role": "system", "content": "S"},
    {"from": "gpt", "value": "A"},
    {"role": "tool", "content": "42", "tool_call_id": "call00001"},
    answer("A"),
    answer("B", weight=0.5),
    answer(None, tool_calls=[call()]),
])  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "messages"]), inner)
    ),
    max_leaves=5,
)
MESSAGES = st.lists(TURNS, max_size=4)
ASKED = {"role": "user", "content": "Q"}
ANSWERS = ["A", "B", [answer("A")], [answer("B")], [ASKED, answer("A")], [ASKED, answer("B")]]
#: What a column may well hold; those of answers are not named.
GOOD: dict[str, list[Any]] = {
    "prompt": ["Q", [ASKED]],
    "system": ["S", ""],
    "input": [{"messages": [ASKED]}],
    "label": [True, False],
}


def rows(shape: Shape) -> st.SearchStrategy[tuple[Shape, dict[str, Any]]]:
    """Rows of a shape with something good in each column, or with anything in one of them."""
    good = st.fixed_dictionaries({name: st.sampled_from(GOOD.get(name, ANSWERS)) for name in shape.columns})
    change = st.dictionaries(st.sampled_from(shape.columns), MESSAGES | ANYTHING, max_size=1)
    return st.tuples(st.just(shape), st.builds(lambda row, change: row | change, good, change))


@settings(max_examples=200)
@given(st.sampled_from(SHAPES).flatmap(rows), st.sampled_from([None, TOOLS]))
def test_a_row_is_understood_or_refused_in_words(found: tuple[Shape, dict[str, Any]], tools: Any) -> None:
    shape, row = found
    with suppress(BadRow):
        talk = preferences.check(preferences.read(row, shape), tools)
        event("understood")
        # What is understood has a prompt, and answers that are the assistant's
        assert 0 < talk.asked < len(talk.messages)
        for answered in (talk, talk.with_rejected) if talk.rejected else (talk,):
            assert answered.messages[talk.asked].role == "assistant"
            assert {message.role for message in answered.messages[talk.asked :]} <= {"assistant", "tool"}
        assert bool(talk.rejected) == (talk.desirable is None)
        assert splits.keys(talk)[0] == splits.fingerprint(talk.prompt)
