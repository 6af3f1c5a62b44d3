"""Data of any size streams through in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.prepared_data import chat, lines

_SCRIPT = textwrap.dedent("""
    import json, sys, time
    from pathlib import Path
    from support.prepared_data import run
    from lora_trainer.data.reading.files import DataFile, classify
    folder, name = Path(sys.argv[1]), sys.argv[2]
    started = time.monotonic()
    rows = run(folder, [DataFile(name, folder / name, *classify(name))]).profile.rows["train"]
    # Not ru_maxrss: it counts what the parent held when it started this process.
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
    print(json.dumps({"rows": rows, "peak_bytes": peak, "rows_per_second": rows / (time.monotonic() - started)}))
""")


def _measure(folder: Path, rows: int) -> dict[str, float]:
    name = f"{rows}.jsonl"
    with (folder / name).open("wb") as file:
        for start in range(0, rows, 1000):
            file.write(
                lines(
                    chat(f"Question {n}: " + "fever and cough " * 25, f"Answer {n}: " + "stay in bed " * 20)
                    for n in range(start, start + 1000)
                )
            )
    answer = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder), name],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), "TOKENIZERS_PARALLELISM": "true"},
    )
    measured: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    print(measured)
    return measured


@pytest.mark.slow
def test_ten_times_the_rows_take_little_more_memory(tmp_path: Path) -> None:
    small = _measure(tmp_path, 4_000)
    large = _measure(tmp_path, 40_000)

    assert large["rows"] == 40_000
    assert large["peak_bytes"] < 700 << 20
    grown_by_row = (large["peak_bytes"] - small["peak_bytes"]) / 36_000
    assert grown_by_row * 1_000_000 + small["peak_bytes"] < 2 << 30
