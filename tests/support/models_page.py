"""The tables of docs/models.md, from the families that the tests try.

`python -m support.models_page` (with tests and the product on the path; `make docs-models`) writes it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lora_contract.generated import write_or_check
from lora_trainer.model_files.shape import FOUR_BIT_MIXTURES
from support.tiny_models import CONFIGS, OLDER_CONFIGS, OLDER_WITHOUT_PADDING

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_TABLES = re.compile(r"(<!-- (dense|mixtures): `make docs-models` -->\n\n).*?(\n<!-- end -->)", re.DOTALL)


def page() -> str:
    """The page as it should be: its words, and its two tables."""
    tables = {"dense": _dense(), "mixtures": _mixtures()}
    return _TABLES.sub(lambda found: found[1] + tables[found[2]] + found[3], PAGE.read_text(encoding="utf-8"))


def _dense() -> str:
    rows = ["| family (`model_type`) | variant | rows of a step | tried by |", "| --- | --- | --- | --- |"]
    for name, config in CONFIGS.items():
        variant = ", ".join(name.split("-")[1:])  # of gemma2-softcap-window what stands behind the family
        tried = "`tests/unit/model/test_padding_free.py`"
        rows.append(f"| `{config().model_type}` | {variant} | without padding | {tried} |")
    for name, config in OLDER_CONFIGS.items():
        how = "without padding" if name in OLDER_WITHOUT_PADDING else "padded"
        rows.append(f"| `{config().model_type}` |  | {how} | `tests/trainer/train/test_families.py` |")
    return "\n".join(rows) + "\n"


def _mixtures() -> str:
    return "\n".join(f"* `{family}`" for family in sorted(FOUR_BIT_MIXTURES)) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}, None, program="support.models_page", description=__doc__ or ""))
