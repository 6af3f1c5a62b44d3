"""Files of at most 300 lines, functions of at most 50, and no file name twice in a package."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
#: Folders whose files and functions are held to these sizes.
ROOTS = ("operator", "cluster", "trainer_image")
#: Packages in which a file is found by its name alone; with the names that stand twice because the files are parallel.
PACKAGES = {
    "operator/lora_cli": set[str](),
    "operator/lora_contract": set[str](),
    "operator/lora_operator": {"decide.py"},
    "trainer_image/lora_trainer": {"stage.py", "supervised.py"},
}


def files(root: str) -> list[Path]:
    """The Python files below a folder."""
    return sorted((REPOSITORY / root).rglob("*.py"))


@pytest.mark.parametrize("root", ROOTS)
def test_files_are_short(root: str) -> None:
    lines = {str(path.relative_to(REPOSITORY)): len(path.read_text("utf-8").splitlines()) for path in files(root)}
    assert lines, f"{root} holds no Python"
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_functions_are_short(root: str) -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}, {node.name}"
        for path in files(root)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_file_is_found_by_its_name(package: str) -> None:
    names = Counter(path.name for path in files(package) if not path.name.startswith("__"))
    assert {name for name, count in names.items() if count > 1} == PACKAGES[package]
