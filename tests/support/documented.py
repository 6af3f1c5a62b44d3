"""The commands that README and docs/ give to users."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
#: What the pages call a run.
_RUN = "triage"
_READS = re.compile(r"kubectl (?:get|describe|wait|explain) [^`\n]+")


def reading_commands() -> list[str]:
    """Every kubectl command about one run that changes nothing, as written, each once."""
    pages = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
    found = [command for page in pages for command in _commands(page.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(found))


def arguments(command: str, *, run: str, namespace: str) -> list[str]:
    """The words after `kubectl`, for a run of another name."""
    words = [re.sub(rf"\b{_RUN}\b", run, word) for word in shlex.split(command)[1:]]
    return [*words, f"--namespace={namespace}"]


def _commands(text: str) -> Iterator[str]:
    for found in _READS.findall(text):
        command = found.partition(" #")[0].strip()
        if re.search(rf"[ /]{_RUN}\b", command):
            yield command
