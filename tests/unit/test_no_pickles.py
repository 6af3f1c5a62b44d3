"""Nothing from outside is unpickled: calls that would do so only with a wrong argument, and those of libraries.

Imports of pickle and the like, and torch's collectives of objects, are refused by ruff (TID251 in pyproject.toml).
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.environment import prepare_environment

REPOSITORY = Path(__file__).parents[2]
SOURCES = [
    path
    for room in ("operator", "trainer_image", "cluster", "benchmarks", "examples")
    for path in sorted((REPOSITORY / room).rglob("*.py"))
]


def offences(source: str) -> Iterator[str]:
    """What a source does that could run code from a file, with its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name.endswith("torch.load") and not _is(given.get("weights_only"), True):
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if "weights_only" in given and not _is(given["weights_only"], True):
            yield f"line {node.lineno}: weights_only must be True"
        if "allow_pickle" in given and not _is(given["allow_pickle"], False):
            yield f"line {node.lineno}: allow_pickle"
        if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
            yield f"line {node.lineno}: trust_remote_code"
        if name.endswith(("add_safe_globals", "safe_globals")) and node.args:
            yield f"line {node.lineno}: {name} lets torch.load make objects of more classes"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_no_source_loads_what_could_run_code() -> None:
    found = [f"{path.relative_to(REPOSITORY)}, {each}" for path in SOURCES for each in offences(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "torch.serialization.add_safe_globals([Thing])",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert list(offences(source))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_in_our_processes_torch_refuses_pickles_whatever_a_library_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that runs code when it is unpickled, and the environment of one of our processes
    import torch  # noqa: PLC0415 - slow, and only needed here

    torch.save({"state": Evil(tmp_path / "ran")}, tmp_path / "optimizer.pt")
    monkeypatch.setattr(os, "environ", {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"})
    prepare_environment()
    # A library loads it without care
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(tmp_path / "optimizer.pt", weights_only=False)
    # Nothing ran
    assert not (tmp_path / "ran").exists()
