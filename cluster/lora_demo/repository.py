"""Where the checkout is: Dockerfiles, chart, examples and requirements lie beside this package."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
