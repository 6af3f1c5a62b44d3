"""Whatever a row of preferences holds, it is understood or refused in words."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
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
VALUES = st.one_of(MESSAGES, MESSAGES, st.sampled_from("AB"), ANYTHING, st.fixed_dictionaries({"messages": MESSAGES}))


def rows(shape: Shape) -> st.SearchStrategy[tuple[Shape, dict[str, Any]]]:
    """Rows of a shape with anything in its columns, of which some may be missing."""
    columns = dict.fromkeys(shape.columns, VALUES)
    return st.tuples(st.just(shape), st.fixed_dictionaries({}, optional=columns) | st.fixed_dictionaries(columns))


@settings(max_examples=500)
@given(st.sampled_from(SHAPES).flatmap(rows), st.sampled_from([None, TOOLS]))
def test_a_row_is_understood_or_refused_in_words(found: tuple[Shape, dict[str, Any]], tools: Any) -> None:
    shape, row = found
    with suppress(BadRow):
        talk = preferences.check(preferences.read(row, shape), tools)
        # What is understood has a prompt, and answers that are the assistant's
        assert 0 < talk.asked < len(talk.messages)
        for answered in (talk, talk.with_rejected):
            assert answered.messages[talk.asked].role == "assistant" or not talk.rejected
            assert {message.role for message in answered.messages[talk.asked :]} <= {"assistant", "tool"}
        assert bool(talk.rejected) == (talk.desirable is None)
        assert splits.keys(talk)[0] == splits.fingerprint(talk.prompt)
