"""Write the tables of docs/reasons.md, or check that they are up to date. Run in the project's root."""

from __future__ import annotations

import sys
from pathlib import Path

from lora_contract.generated import write_or_check
from lora_contract.reasons.page import with_tables

PAGE = Path("docs/reasons.md")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: written, or up to date; 1: `--check` found a page that differs."""
    texts = {PAGE: with_tables(PAGE.read_text(encoding="utf-8"))}
    return write_or_check(texts, arguments, program="python -m lora_contract.reasons", description=__doc__)


if __name__ == "__main__":
    sys.exit(main())
