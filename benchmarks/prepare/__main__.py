"""`python -m benchmarks.prepare --rows 1000000`: rows a second and peak memory of prepare, one JSON line a size.

The stage runs as in a pod, as a process of its own that gets its order in the environment; data, model and result
lie in a folder instead of S3, so the figures are those of our code and not of a network.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_contract.report import decode
from lora_demo import model

_WORDS = ("fever", "cough", "stay", "bed", "water", "patient", "reports", "since", "Monday", "slight", "pain", "doctor")
#: About this many words, most of them one token, make a row of 200 tokens with the template's own.
_WORDS_A_ROW = 160
_POLL_SECONDS = 0.05


def main() -> int:
    """Measure each size and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="rows of each measurement")
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory(prefix="prepare-") as folder:
            print(json.dumps(measure(Path(folder), rows)), flush=True)
    return 0


def measure(folder: Path, rows: int) -> dict[str, float]:
    """Prepare `rows` rows once; seconds, rows a second, tokens a row, peak resident memory in MiB."""
    data = folder / "rows.jsonl"
    with data.open("w", encoding="utf-8") as file:
        file.writelines(_lines(rows))
    started = time.monotonic()
    peak, report = _run(_order(folder, data), folder / "termination-log")
    seconds = time.monotonic() - started
    decoded = decode(report)
    if decoded is None or decoded.plan is None:
        raise SystemExit(f"prepare failed: {report}")
    plan = decoded.plan
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "tokens_per_row": round(plan.tokens / plan.rows, 1),
        "peak_mib": round(peak / 2**20),
    }


def _lines(rows: int) -> Iterator[str]:
    draw = random.Random(0)
    for number in range(rows):
        words = draw.choices(_WORDS, k=_WORDS_A_ROW)
        middle = _WORDS_A_ROW * 2 // 3
        question, answer = " ".join(words[:middle]), " ".join(words[middle:])
        turns = [
            {"role": "user", "content": f"Case {number}: {question}"},
            {"role": "assistant", "content": answer},
        ]
        yield json.dumps({"messages": turns}) + "\n"


def _order(folder: Path, data: Path) -> Order:
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": model.MODEL_ID, "source": f"file://{model.ensure()}/"},
            "dataset": {"uri": f"file://{data}", "split": {"validation": 0.01, "test": 0.01}},
            "training": {"maxSteps": 100, "maxLength": 512},
            "output": {"uri": f"file://{folder}/adapters/"},
            "compute": {"gpus": 0},
        }
    )
    scratch = folder / "scratch"
    scratch.mkdir()
    return Order(stage="prepare", namespace="local", name="bench", uid="bench", spec=spec, scratch=str(scratch))


def _run(order: Order, termination_log: Path) -> tuple[int, str]:
    """Run the stage; its peak resident memory in bytes and its report."""
    environment = os.environ | {
        names.ENV_ORDER: json.dumps(order.dump()),
        names.ENV_TERMINATION_LOG: str(termination_log),
    }
    process = subprocess.Popen([sys.executable, "-m", "lora_trainer", "prepare"], env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(_POLL_SECONDS)
    return peak, termination_log.read_text()


def _peak(pid: int) -> int:
    """Highest resident memory so far, in bytes; 0 once the process ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    sys.exit(main())
