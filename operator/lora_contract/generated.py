"""Files that are generated from the contract: written, or held against what they should be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(texts: Mapping[Path, str], arguments: list[str] | None, *, program: str, description: str) -> int:
    """Write each file that differs, or with `--check` name it; the exit code.

    0: all are up to date or were written; 1: `--check` found one that differs.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    check = parser.parse_args(arguments).check
    outdated = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and outdated:
        print(f"out of date: {', '.join(map(str, outdated))}; run `make generate`", file=sys.stderr)
        return 1
    for path in outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0
