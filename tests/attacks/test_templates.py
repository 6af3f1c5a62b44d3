"""Hostile models: chat templates that loop, grow and pry, tokenizers that never end, code and pickles in the folder.

Each ends in words for the user, with exit code 78, within bounds of time and memory.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_contract.exit_codes import ExitCode
from support.chat_models import CHATML, CONFIG, save_model
from support.chat_templates import TRIGGER, on_trigger, save_model_with
from support.hostile import bounded, refused
from support.prepare_orders import Place, place
from support.prepared_data import chat, lines

DOUBLING = "{% set b = namespace(t='aaaaaaaa') %}{% for i in range(99) %}\n{% set b.t = b.t + b.t %}{% endfor %}"
NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}\n{% set c = a %}{% endfor %}{% endfor %}"
RECURSION = "{% macro again(n) %}\n{{ again(n + 1) }}{% endmacro %}{{ again(0) }}"
OF_ANY_ROW = {
    "loops": (NESTED, "takes more than 10 s of processor time (line"),
    "doubles a text": (DOUBLING, "needs more memory than a row may take (line 2 of the template)"),
    "repeats a text": ("{{ 'a' * 10 ** 11 }}", "needs more memory than a row may take"),
    "calls itself": (RECURSION, "calls itself without end (line 2 of the template)"),
    "a large range": ("{{ range(10 ** 9) | list }}", "Range too big"),
    "computes in one operation": ("{{ 10 ** (10 ** 10) }}", "processor time"),
    "reaches for classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
    "reaches through format": ("{{ '{0.__class__.__init__.__globals__}'.format(messages) }}", "unsafe"),
    "reaches through attr": ("{{ (messages | attr('__class__')) | attr('mro') }}", ""),
    "imports": ("{% import 'os' as os %}{{ os }}", ""),
}
OF_ONE_ROW = {
    "loops": ("range(99999) | map('string') | join | length ~ " * 400 + "1", "processor time"),
    "grows": ("'ab' * 10 ** 10", "needs more memory than a row may take (line 4 of the template)"),
}


def _with_template(folder: Path, source: str) -> Place:
    save_model_with(folder / "model", source)
    (folder / "rows.jsonl").write_bytes(lines([chat("Q", "A"), chat(TRIGGER, "B"), chat("R", "C")]))
    return place(folder, dataset__split={"validation": 0, "test": 0})


@pytest.mark.parametrize("case", OF_ANY_ROW)
def test_a_template_that_harms_with_any_row_ends_before_the_data_is_read(case: str, tmp_path: Path) -> None:
    source, words = OF_ANY_ROW[case]

    error = refused(_with_template(tmp_path, source + CHATML))

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert words in error.message
    assert error.param == "spec.model.id"


@pytest.mark.parametrize("case", OF_ONE_ROW)
def test_a_template_that_harms_with_one_row_names_it(case: str, tmp_path: Path) -> None:
    harm, words = OF_ONE_ROW[case]

    error = refused(_with_template(tmp_path, on_trigger(harm)))

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert words in error.message
    assert error.param == "rows.jsonl:2"


def test_one_operation_that_never_ends_names_its_row(tmp_path: Path) -> None:
    error = refused(_with_template(tmp_path, on_trigger("(m.content | length + 7) ** (10 ** 10)")))

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert "processor time" in error.message or "was not done after" in error.message
    assert error.param == "rows.jsonl:2"


def test_words_of_a_template_are_cleaned(tmp_path: Path) -> None:
    error = refused(_with_template(tmp_path, on_trigger("raise_exception('\x1b[2J\x1b]0;owned\x07 \u202e no')")))

    assert "owned" in error.message


def _with_regex(folder: Path, pattern: str) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$"])
def test_a_tokenizer_with_a_regex_that_never_ends_names_model_and_rows(pattern: str, tmp_path: Path) -> None:
    _with_regex(save_model(tmp_path / "model"), pattern)
    (tmp_path / "rows.jsonl").write_bytes(lines([chat("Q" + "a" * 5000 + "!", "A")]))

    try:
        error = refused(place(tmp_path, dataset__split={"validation": 0, "test": 0}))
    except pytest.fail.Exception:  # the library gave up on the pattern by itself
        return

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert error.param in ("rows.jsonl:1", "spec.model.id")


BROKEN_TOKENIZERS: dict[str, bytes] = {
    "deep nesting": b'{"model":' * 100_000,
    "no tokenizer": b"[]",
    "nothing": b"",
    "a broken regex": b"",
}


@pytest.mark.parametrize("case", BROKEN_TOKENIZERS)
def test_a_tokenizer_that_is_none_ends_in_words(case: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    if case == "a broken regex":
        _with_regex(folder, "(((")
    else:
        (folder / "tokenizer.json").write_bytes(BROKEN_TOKENIZERS[case])

    assert refused(place(tmp_path)).exit_code is ExitCode.UNSUPPORTED


def test_no_credential_is_in_the_process_that_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Credentials in the environment of prepare
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "LORA_ORDER"):
        monkeypatch.setenv(name, "canary-of-this-test")
    seen: list[bytes] = []

    # The process works
    from lora_trainer.prepare import data_process  # noqa: PLC0415

    with data_process.running(tmp_path) as process:
        process.check_model(save_model(tmp_path / "model"), "example/model", 1 << 20)
        seen += [Path(f"/proc/{child.pid}/environ").read_bytes() for child in psutil.Process().children()]

    # Its environment holds none
    assert seen
    assert not any(b"canary" in environment for environment in seen)


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    # A model whose configuration and tokenizer name code of its own
    folder = save_model(tmp_path / "model")
    canary = tmp_path / "canary"
    code: dict[str, Any] = {
        "auto_map": {
            "AutoConfig": "own.C",
            "AutoModelForCausalLM": "own.M",
            "AutoTokenizer": ["own.T", "own.T"],
        },
        "trust_remote_code": True,
    }
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **code}))
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **code, "tokenizer_class": "T"}))
    started = time.monotonic()

    # When it is prepared, the code is left alone
    place(tmp_path).prepare()
    assert not canary.exists()
    bounded(started)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "weights.pkl"])
def test_weights_in_pickles_are_refused_in_words(name: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / name)

    error = refused(place(tmp_path))

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert name in error.message
    assert "pickles" in error.message
