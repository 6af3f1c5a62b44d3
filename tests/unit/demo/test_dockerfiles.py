"""What images are built from is pinned, and is stripped before anything is built on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
DOCKERFILES = sorted(REPOSITORY.glob("Dockerfile.*"))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_bases_are_pinned_by_digest(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", base)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert len(stages) == len(re.findall(r"^FROM ", text, re.MULTILINE))
    known = {"${BASE_IMAGE}", "scratch"}
    for source, name in stages:
        assert source in known, f"{source} is not pinned"
        known.add(name)


def test_the_stages_that_strip_the_base_are_the_same_in_all() -> None:
    found = set()
    for dockerfile in DOCKERFILES:
        text = dockerfile.read_text()
        found.add(text[text.index("# uv, for the stages") : text.index("\nFROM runtime AS")])
    assert len(found) == 1
