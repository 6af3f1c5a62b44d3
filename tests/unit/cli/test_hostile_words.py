"""Whatever tenants and pods write, no command prints what moves a terminal, and none ends in a stack trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from support.cli import Plugin
from support.cli_demo import demo
from support.stub_cluster import StubCluster

EVIL = "\x1b[2J\x9b31m\x1b]0;title\x07[red]bold[/red]\u202e\r\n"
COMMANDS = (
    ("list", "-A"),
    ("list", "-A", "-o", "wide"),
    ("list", "-A", "-o", "json"),
    ("list", "-A", "-o", "yaml"),
    ("status", "triage-v2"),
    ("status", "triage", "-o", "yaml"),
    ("watch", "triage"),
    ("explain-failure", "broken"),
    ("compare", "triage", "triage-v2"),
    ("top",),
    ("logs", "triage-v2"),
)
#: Texts of which API server and contract know the values: hostile ones make the object another one.
_KNOWN = ("name", "namespace", "uid", "kind", "creationTimestamp", "stage", "phase", "pod", "type", "status")


def _poisoned(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _poisoned(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_poisoned(item, key) for item in value]
    if isinstance(value, str) and key not in _KNOWN and not key.endswith("Time") and "lora-operator" not in key:
        return value + EVIL
    return value


def _unfit(value: Any) -> Any:
    """The same object with texts where numbers, and numbers where texts are expected."""
    if isinstance(value, dict):
        return {name: item if name in ("metadata", "spec") else _unfit(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_unfit(item) for item in value]
    return "many" if isinstance(value, int) else 7


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_hostile_words_move_no_terminal(kubectl_lora: Plugin, cluster: StubCluster, words: tuple[str, ...]) -> None:
    cluster.runs = [_poisoned(each) for each in demo().runs]
    cluster.events = [_poisoned(each) for each in demo().events]
    cluster.logs = {name: text + EVIL for name, text in demo().logs.items()}

    said = kubectl_lora(*words)

    printed = said.out + said.err
    assert printed
    assert "error:" not in said.err
    assert all(char.isprintable() or char == "\n" for char in printed)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] != "watch"], ids=" ".join)
def test_objects_of_another_form_end_in_no_trace(
    kubectl_lora: Plugin, cluster: StubCluster, words: tuple[str, ...]
) -> None:
    bodies = copy.deepcopy(demo().runs)
    cluster.runs = [body | {"status": _unfit(body["status"])} for body in bodies]

    said = kubectl_lora(*words)

    assert "Traceback" not in said.err
    assert said.out


def test_a_refusal_of_the_server_is_clean_too(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.refusals["triage"] = (422, {"message": "spec: " + EVIL})

    assert all(char.isprintable() or char == "\n" for char in kubectl_lora("status", "triage").err)
