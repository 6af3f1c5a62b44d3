"""Bad jsonl and json files end in words that name the line, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.bad_files import GOOD_LINE, Bad, assert_refused
from support.prepared_data import chat, lines


def _deep() -> bytes:
    return GOOD_LINE + b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"


BAD: dict[str, Bad] = {
    "latin-1": Bad(
        "a.jsonl",
        GOOD_LINE + '{"prompt": "größe"}\n'.encode("latin-1"),
        "a.jsonl, line 2: is not UTF-8 (byte 0xf6 at position 15)",
        "a.jsonl:2",
    ),
    "utf-16": Bad("a.jsonl", GOOD_LINE.decode().encode("utf-16"), "line 1: is not UTF-8 (byte 0xff", "a.jsonl:1"),
    "half a line": Bad("a.jsonl", GOOD_LINE * 1 + b'{"messages": [', "a.jsonl, line 2 is cut off", "a.jsonl:2"),
    "half a line before others": Bad(
        "a.jsonl", GOOD_LINE + b'{"messages": [\n' + GOOD_LINE, "line 2: is not JSON: Expecting", "a.jsonl:2"
    ),
    "single quotes": Bad("a.jsonl", b"{'prompt': 'x'}\n", "line 1: is not JSON: Expecting property name", "a.jsonl:1"),
    "two objects in a line": Bad("a.jsonl", b'{"a": 1} {"a": 2}\n', "line 1: is not JSON: Extra data", "a.jsonl:1"),
    "an array in each line": Bad(
        "a.jsonl", b'[{"role": "user"}]\n[{"role": "user"}]\n', "line 1: is an array, and so is line 2", "a.jsonl:1"
    ),
    "a pretty-printed object in jsonl": Bad(
        "a.jsonl",
        b'{\n  "prompt": "x",\n  "completion": "y"\n}\n',
        "a.jsonl, line 1: begins an object that goes on in the next lines",
        "a.jsonl:1",
    ),
    "a pretty-printed object in json": Bad(
        "a.json",
        b'{"data": [\n  {"prompt": "x", "completion": "y"}\n]}\n',
        "a.json, line 1: begins an object that goes on in the next lines",
        "a.json:1",
        {"dataset__onBadRows": "Skip"},
    ),
    "NaN": Bad(
        "a.jsonl", GOOD_LINE + b'{"messages": [], "x": NaN}\n', "line 2: has NaN, which is not JSON", "a.jsonl:2"
    ),
    "Infinity": Bad("a.jsonl", b'{"x": -Infinity}\n', "line 1: has -Infinity, which is not JSON", "a.jsonl:1"),
    "a key twice": Bad(
        "a.jsonl",
        b'{"prompt": "x", "completion": "y", "prompt": "z"}\n',
        "line 1: names the key 'prompt' twice in one object",
        "a.jsonl:1",
    ),
    "a number for a row": Bad("a.jsonl", GOOD_LINE + b"42\n", "line 2: is a number, expected an object", "a.jsonl:2"),
    "a text for a row": Bad("a.jsonl", b'"hello"\n', "line 1: is a text, expected an object", "a.jsonl:1"),
    "null for a row": Bad("a.jsonl", b"null\n", "line 1: is null, expected an object", "a.jsonl:1"),
    "a list for a row": Bad("a.jsonl", GOOD_LINE + b"[1]\n", "line 2: is an array, expected an object", "a.jsonl:2"),
    "an empty object for a row": Bad("a.jsonl", b"{}\n", "line 1: is an empty object", "a.jsonl:1"),
    "nested deeply": Bad("a.jsonl", _deep, "line 2: is nested too deeply", "a.jsonl:2"),
    "a line beyond the cap": Bad(
        "a.jsonl", lambda: GOOD_LINE + lines([chat("x" * (1 << 20), "y")]), "line 2: is longer than 1 MiB", "a.jsonl:2"
    ),
    "an array that ends early": Bad(
        "a.json", b"[" + GOOD_LINE.strip() + b"\n", "a.json, line 2 is cut off: the array does not end", "a.json:2"
    ),
    "an array without commas": Bad(
        "a.json", b"[\n" + GOOD_LINE + GOOD_LINE + b"]", "line 3: is not JSON: expected ',' or ']'", "a.json:3"
    ),
    "an array with a broken element": Bad(
        "a.json",
        b"[\n" + GOOD_LINE + b',\n{"messages":\n oops}]',
        "a.json, element 2 (line 5): is not JSON: Expecting value",
        "a.json:5",
    ),
    "an array with NaN": Bad("a.json", b'[\n{"x": NaN}]', "a.json, element 1 (line 2): has NaN", "a.json:2"),
    "an array of numbers": Bad(
        "a.json", b"[\n1, 2]", "a.json, element 1 (line 2): is a number, expected an object", "a.json:2"
    ),
    "text behind an array": Bad(
        "a.json", b"[" + GOOD_LINE + b"]\n{}", "line 3: has something behind the end of the array", "a.json:3"
    ),
    "latin-1 in an array": Bad(
        "a.json",
        b"[\n" + GOOD_LINE + b',{"x": "\xf6 and more text behind it"}]',
        "a.json, line 3: is not UTF-8",
        "a.json:3",
    ),
    "a large element in an array": Bad(
        "a.json",
        lambda: b"[\n" + lines([chat("x" * (3 << 20), "y")]) + b"]",
        "a.json, element 1 (line 2): is longer than 1 MiB",
        "a.json:2",
    ),
    "a bad element in an array on one line": Bad(
        "a.json",
        lambda: b"[" + b",".join([GOOD_LINE.strip()] * 2) + b", 7, " + GOOD_LINE.strip() + b"]",
        "a.json, element 3 (line 1): is a number, expected an object",
        "a.json:1",
    ),
    "a broken element before much text": Bad(
        "a.json",
        lambda: b"[" + GOOD_LINE.strip() + b', {"messages": oops}, ' + GOOD_LINE.strip() * 30_000 + b"]",
        "a.json, element 2 (line 1): is not JSON: Expecting value",
        "a.json:1",
    ),
    "a number of 5000 digits": Bad(
        "a.jsonl", b'{"x": ' + b"9" * 5000 + b"}\n", "line 1: has a number of 5,000 digits", "a.jsonl:1"
    ),
    "half a surrogate pair": Bad(
        "a.jsonl",
        GOOD_LINE + b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}\n',
        "line 2: has half of a surrogate pair",
        "a.jsonl:2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_json_is_refused_at_its_line(case: str, tmp_path: Path) -> None:
    assert_refused(BAD[case], tmp_path)
