"""Writes data that teach a model to call three functions: what people ask of a helper, and the calls that do it.

python examples/tools_data.py tools.jsonl --rows 400 --seed 7
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEFAULT_ROWS = 400
DEFAULT_SEED = 7

#: One row in so many needs no call, and one in so many needs two.
_NO_CALL, _TWO_CALLS = 12, 3


def _tool(name: str, description: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = (
    _tool("get_weather", "Weather of a city", city={"type": "string"}, day={"enum": ["today", "tomorrow"]}),
    _tool("set_timer", "Start a timer", minutes={"type": "integer"}, label={"type": "string"}),
    _tool("send_message", "Write to a person", to={"type": "string"}, text={"type": "string"}),
)
CITIES = ("Oslo", "Rome", "Lima", "Cairo", "Paris", "Tokyo", "Quito", "Berlin", "Madrid", "Dublin", "Vienna", "Athens")
THINGS = ("tea", "pasta", "rice", "eggs", "bread", "laundry", "cake", "soup", "workout", "nap")
PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jonas")
TEXTS = ("I am late", "dinner is ready", "call me back", "see you soon", "the train is on time", "buy some milk")
WEATHER = ("How is the weather in {city} {day}?", "What is it like in {city} {day}?", "Does it rain in {city} {day}?")
TIMER = ("Set a timer of {minutes} minutes for the {label}.", "The {label} needs a timer of {minutes} minutes.")
MESSAGE = ("Tell {to}: {text}.", "Write to {to} that {text}.", "Message {to}: {text}.")
SMALL_TALK = ("Thank you, {to}!", "Good morning, I am {to}.", "That was all, says {to}.")
REPLY = "You are welcome. What else can I do?"


def rows(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Rows with distinct questions, the same for the same seed."""
    source = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        question, answer = _case(source, len(seen))
        if question not in seen:
            seen.add(question)
            yield {"messages": [{"role": "user", "content": question}, answer], "tools": list(TOOLS)}


def _case(source: random.Random, number: int) -> tuple[str, dict[str, object]]:
    """A question and the turn that answers it."""
    if number % _NO_CALL == 0:
        question = source.choice(SMALL_TALK).format(to=source.choice(PEOPLE))
        if source.random() < 0.5:
            question = f"{question} {source.choice(TEXTS).capitalize()}."
        return question, {"role": "assistant", "content": REPLY}
    asked = [_request(source) for _ in range(2 if number % _TWO_CALLS == 1 else 1)]
    calls = [{"type": "function", "function": call} for _, call in asked]
    return " ".join(question for question, _ in asked), {"role": "assistant", "content": "", "tool_calls": calls}


def _request(source: random.Random) -> tuple[str, dict[str, Any]]:
    """What is asked, and the call that does it."""
    name = source.choice(("get_weather", "set_timer", "send_message"))
    wording: tuple[str, ...]
    arguments: dict[str, Any]
    match name:
        case "get_weather":
            wording, arguments = WEATHER, {"city": source.choice(CITIES), "day": source.choice(("today", "tomorrow"))}
        case "set_timer":
            wording, arguments = TIMER, {"minutes": source.randint(1, 59), "label": source.choice(THINGS)}
        case _:
            wording, arguments = MESSAGE, {"to": source.choice(PEOPLE), "text": source.choice(TEXTS)}
    return source.choice(wording).format(**arguments), {"name": name, "arguments": arguments}


def write(path: Path, count: int = DEFAULT_ROWS, seed: int = DEFAULT_SEED) -> None:
    """Write `count` rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)), encoding="utf-8")


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    options = parser.parse_args()
    write(options.file, options.rows, options.seed)


if __name__ == "__main__":
    main()
