"""YAML reads as kubectl reads it; what would vanish or change without a word is refused with its line."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.yaml_documents import DocumentError, read_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1E3", 1000),
        ("1.5e+2", 150),
        ("-3e-1", -0.3),
        ("1.0", 1),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("0X1F", 31),
        ("-0b11", -3),
        ("08", 8),
        (".5", 0.5),
        ("yes", True),
        ("off", False),
        ("n", False),
        ("'4.0'", "4.0"),
        ("~", None),
        ("", None),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("1:30", "1:30"),
        ("5a14e", "5a14e"),
        ("e4", "e4"),
        ("1e", "1e"),
        ("v1e4", "v1e4"),
        ("=", "="),
        ('"16"', "16"),
        ("32Gi", "32Gi"),
    ],
)
def test_a_scalar_is_what_kubectl_takes_it_for(text: str, value: Any) -> None:
    (document,) = read_documents(f"field: {text}")

    assert document == {"field": value}
    assert type(document["field"]) is type(value)


def test_a_file_may_hold_several_documents_and_empty_ones() -> None:
    assert read_documents("---\na: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_anchors_and_merges_are_taken() -> None:
    (document,) = read_documents("base: &base {r: 8, alpha: 16}\nlora: {<<: *base, r: 16}")

    assert document["lora"] == {"r": 16, "alpha": 16}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spec:\n  lora: {r: 8}\n  lora: {r: 16}", "line 3, column 3: key lora stands here and in line 2"),
        ("a: 1\n'a': 2", "line 2, column 1: key a stands here and in line 1"),
        ("spec: {a: 1", "line 1, column 12: expected ',' or '}'"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ("a: \x07", "is not YAML: unacceptable character"),
        ("a: .nan", "nan is no number of JSON"),
        ("a: !!timestamp 2026-01-31", "write it as text, in quotes"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("? [a]\n: b", "a key must be text"),
        ("~: b", "a key must be text"),
        ("a: &a [*a]", "holds more than any manifest does"),
        ("a: " + "[" * 3000, "is nested too deeply"),
        ("a: ö".encode("latin-1"), "is not UTF-8 text"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
        ), "do its aliases repeat themselves"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_told_with_its_place(text: str | bytes, says: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_documents(text)

    assert says in caught.value.faults[0]
    assert "\n" not in caught.value.faults[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # keys of one letter too, such as lora.r: the nearest mapping wins, whatever is merged into what
        ("a: &a {r: 1}\nb: &b {<<: *a, r: 2}\nc: {<<: *b, s: 1}", {"r": 2, "s": 1}),
        ("a: &a {rank: 1}\nb: &b {<<: *a, rank: 2}\nc: {<<: *b, s: 1}", {"rank": 2, "s": 1}),
        ("a: &a {r: 1}\nb: &b {r: 2, s: 2}\nc: {<<: [*a, *b]}", {"r": 1, "s": 2}),
        ("a: &a {rank: 1}\nb: &b {rank: 2, s: 2}\nc: {<<: [*a, *b]}", {"rank": 1, "s": 2}),
        ("a: &a {rank: 1}\nb: &b {rank: 2}\nc: {<<: *a, <<: *b}", {"rank": 1}),
    ],
)
def test_of_merged_keys_the_nearest_is_taken(text: str, value: Any) -> None:
    assert read_documents(text)[0]["c"] == value


@pytest.mark.parametrize("text", ["0x_", "0b_", "-0x_", "0o_"])
def test_what_looks_like_a_number_and_is_none_is_text(text: str) -> None:
    assert read_documents(f"a: {text}") == [{"a": text}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!int foo", "line 1, column 4: this is no int that can be read"),
        ("a: !!int [1]", "line 1, column 4: this is no int that can be read"),
        ("a: !!float foo", "line 1, column 4: this is no float"),
        ("a: !!bool foo", "line 1, column 4: this is no bool"),
        ("a: !!null foo", "line 1, column 4: this is no null"),
        ("a: !!timestamp foo", "line 1, column 4: this is no timestamp"),
        ("a: !!map [1]", "line 1, column 4: expected a mapping"),
        ("a: " + "9" * 5000, "line 1, column 4: this is no int that can be read; write it as text, in quotes"),
        ("a: 0x" + "f" * 5000, "this is no int"),
        ('a: "\\UFFFFFFFF"', "is not YAML"),
        ('a: "\\U00110000"', "is not YAML"),
        ('a: "\\uD800"', "half of a surrogate pair"),
        ('"\\uD800": a', "half of a surrogate pair"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "is not YAML"),
        ("spec: {training: {learningRate: 1e400}}", "spec.training.learningRate: inf is no number of JSON"),
        ("yes: 1\ntrue: 2", "line 2, column 1: key true stands here and in line 1"),
        ("1: a\n0x1: b", "key 1 stands here and in line 1"),
        ("1.5: a\n1.50: b", "key 1.5 stands here and in line 1"),
        ("a: &a {x: 1}\nb: {<<: [5]}", "for merging"),
        ("a: &a {? [x] : 1}\nb: {<<: *a}", "a key must be text"),
        ("a: [" + "1," * 150_000 + "]", "holds more than any manifest does"),
        (
            "a: &a {"
            + "".join(f"k{n}: 1, " for n in range(2000))
            + "}\n"
            + "".join(f"b{n}: {{<<: *a}}\n" for n in range(2000)),
            "holds more than any manifest does",
        ),
    ],
)
def test_no_value_breaks_the_reader(text: str, says: str) -> None:
    with pytest.raises(DocumentError) as raised:
        read_documents(text)

    assert says in str(raised.value)
    assert len(str(raised.value)) < 300


def test_one_and_true_are_two_keys() -> None:
    assert read_documents("1: a\ntrue: b") == [{"1": "a", "true": "b"}]
