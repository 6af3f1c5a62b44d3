"""Docstrings of functions begin with a verb in the imperative (PEP 257); those of properties and classes name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
#: Folders below the repository whose functions are held to it.
ROOTS = ("cluster", "operator", "trainer_image")
#: One verb a line, in order; add the one that is missing.
VERBS = frozenset(Path(__file__).with_name("imperative_verbs.txt").read_text(encoding="utf-8").split())


def offences(source: str) -> Iterator[str]:
    """The functions of a source whose docstring begins with another word, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_exempt(node):
            continue
        words = (ast.get_docstring(node) or "").split()
        is_noun = words[1:2] == ["of"]  # `Name of the Job`
        if words and (is_noun or words[0].rstrip(".,:;").lower() not in VERBS):
            yield f"line {node.lineno}: {node.name} begins with {' '.join(words[:2])}"


def _is_exempt(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it reads like a name: a property, or a method that Python calls."""
    decorators = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
    return bool(decorators & {"property", "cached_property"}) or (node.name[:2] == node.name[-2:] == "__")


@pytest.mark.parametrize("root", ROOTS)
def test_docstrings_of_functions_begin_with_a_verb(root: str) -> None:
    paths = sorted((REPOSITORY / root).rglob("*.py"))
    assert paths, f"{root} holds no Python"
    found = [f"{path.relative_to(REPOSITORY)}, {each}" for path in paths for each in offences(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """The answer."""',
        'def f():\n    """Name of the answer."""',
        'async def f():\n    """Whether it holds."""',
        'class A:\n    """A."""\n    def f(self):\n        """Returns the answer."""',
        'def f():\n    """Return."""\n    def g():\n        """The answer."""',
    ],
)
def test_the_check_finds(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return the answer."""',
        "def f():\n    return 1",
        'class A:\n    """The answer."""\n    @property\n    def f(self):\n        """The answer."""',
        'class A:\n    def __len__(self):\n        """How many there are."""',
    ],
)
def test_the_check_leaves(source: str) -> None:
    assert not list(offences(source))
