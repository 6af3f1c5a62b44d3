"""Write the tables of docs/reasons.md, or check that they are up to date. Run in the project's root."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lora_contract.reasons.page import with_tables

PAGE = Path("docs/reasons.md")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: written, or up to date; 1: `--check` found a page that differs."""
    parser = argparse.ArgumentParser(prog="python -m lora_contract.reasons", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page differs")
    check = parser.parse_args(arguments).check
    before = PAGE.read_text(encoding="utf-8")
    page = with_tables(before)
    if page == before:
        return 0
    if check:
        print(f"out of date: {PAGE}; run `make generate`", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
