"""Writes a toy preference: a shop answers each question politely (chosen) and rudely (rejected), with the same facts.

python examples/preference_data.py preference.jsonl --rows 400 --seed 7
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

DEFAULT_ROWS = 400
DEFAULT_SEED = 7

QUESTIONS = (
    ("Where is my {thing}?", "The {thing} arrives on {day}."),
    ("Can I send the {thing} back?", "You can send the {thing} back until {day}."),
    ("Is the {thing} in stock?", "We get the {thing} again on {day}."),
    ("When do you repair my {thing}?", "The {thing} is ready on {day}."),
    ("Who pays for the broken {thing}?", "We pay for the {thing} on {day}."),
)
THINGS = ("lamp", "chair", "kettle", "radio", "mirror", "clock", "carpet", "desk", "fan", "scale", "shelf", "toaster")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
PLACES = ("Oslo", "Rome", "Lima", "Cairo", "Paris", "Quito", "Madrid", "Dublin")
POLITE = (
    ("Thank you for asking.", "Have a lovely day!"),
    ("With pleasure!", "Please write again any time."),
    ("I am glad to help.", "Thank you for your patience."),
    ("What a good question.", "We are happy that you are with us."),
)
RUDE = (
    ("Not you again.", "Now leave me alone."),
    ("Read the page yourself.", "Stop wasting my time."),
    ("Why do you bother me?", "I do not care."),
    ("How boring.", "You are not important."),
)


def rows(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Pairs with distinct questions, the same for the same seed."""
    source = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        question, fact = source.choice(QUESTIONS)
        thing, place = source.choice(THINGS), source.choice(PLACES)
        prompt = f"I live in {place}. {question.format(thing=thing)}"
        if prompt in seen:
            continue
        seen.add(prompt)
        said = fact.format(thing=thing, day=source.choice(DAYS))
        yield {
            "prompt": prompt,
            "chosen": _around(said, source.choice(POLITE)),
            "rejected": _around(said, source.choice(RUDE)),
        }


def _around(fact: str, manner: tuple[str, str]) -> str:
    begin, end = manner
    return f"{begin} {fact} {end}"


def write(path: Path, count: int = DEFAULT_ROWS, seed: int = DEFAULT_SEED) -> None:
    """Write `count` pairs as JSON lines."""
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
