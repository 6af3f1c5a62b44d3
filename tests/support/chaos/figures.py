"""What a round of chaos found, as facts that docs/reliability.md shows."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_DEFAULT = Path(__file__).resolve().parents[3] / "build" / "chaos.json"


def file() -> Path:
    """Where the figures of the last round are kept: LORA_CHAOS_FIGURES, or below build/."""
    return Path(os.environ.get("LORA_CHAOS_FIGURES", _DEFAULT))


def record(name: str, **facts: Any) -> None:
    """Keep the facts of one test, beside those of the others, and print them."""
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    path = file()
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    moment = datetime.now(UTC).strftime("%Y-%m-%d")
    known[name] = facts
    known["round"] = {"date": moment, "cores": os.cpu_count(), "machine": _machine()}
    path.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
