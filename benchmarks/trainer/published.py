"""`python -m benchmarks.trainer.published`: the settings for which others published figures, on this machine's GPU.

Rows are full: tokens drawn at random, every one a target, so tokens a second are those of others' benchmarks. Weights
are of the shape alone. One JSON line a case, with what was published, what is aimed at, and whether it was reached.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.trainer import __main__ as bench
from lora_trainer import environment

_HIGHEST_TOKEN = 40_000  # the tokenizer of the demo's model knows 49,152


@dataclass(frozen=True)
class Case:
    """A setting; `published` are the words for another's figure, and the aims are what we should reach."""

    shape: str
    quantization: str
    row_tokens: int
    batch: int
    published: str
    micro_batch: int | None = None
    aim_tokens_per_second: int | None = None
    aim_peak_gib: float | None = None


CASES = {
    "8b-bf16": Case("llama-8b", "none", 4096, 32, "12,473 tokens/s on an H100 in bf16 (NVIDIA)", None, 12_500),
    "8b-nf4": Case("llama-8b", "nf4", 4096, 32, "none in NF4", None, 11_500),
    "8b-memory": Case("llama-8b", "nf4", 2048, 2, "none", 2, None, 8.0),
    "70b-nf4": Case("llama-70b", "nf4", 1024, 4, "505 tokens/s on an A100 (IBM, fused)", None, 1_000),
    "30b-a3b-nf4": Case("qwen3-30b-a3b", "nf4", 4096, 8, "none"),
}
#: To see on a CPU that the benchmark itself works.
TRIALS = {
    "tiny": Case("llama-tiny", "nf4", 128, 4, "none", 2, 1, 4.0),
    "tiny-mixture": Case("qwen3-moe-tiny", "nf4", 128, 4, "none", 2, 1, 4.0),
}


def main() -> int:
    """Measure the cases that are named, or all, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES, *TRIALS], help="which; all that need a GPU if none")
    parser.add_argument("--steps", type=int, default=6, help="steps a case; the first warms up, the last is profiled")
    arguments = parser.parse_args()
    environment.prepare_environment()
    for name in arguments.cases or CASES:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            bench.tell(measure(name, (CASES | TRIALS)[name], Path(folder), arguments.steps))
    return 0


def measure(name: str, case: Case, folder: Path, steps: int) -> dict[str, Any]:
    """Train a few steps of a case; its figures, beside what was published and aimed at."""
    from benchmarks.trainer import random_model, setting  # noqa: PLC0415 - after the environment
    from lora_demo import model  # noqa: PLC0415

    on_gpu = name in CASES
    base = random_model.write(folder / "model", case.shape, model.ensure())
    files = {split: _rows(folder / f"{split}.jsonl", count, case.row_tokens) for split, count in
             {"train": steps * case.batch, "test": 1}.items()}  # fmt: skip
    setting.make_full(
        folder,
        base,
        files["train"],
        files["test"],
        steps=steps,
        batch=case.batch,
        micro_batch=case.micro_batch,
        row_tokens=case.row_tokens,
        quantization=case.quantization,
        gpus=int(on_gpu),
    )
    figures = bench.run_in_process("benchmarks.trainer.variant", "ours", folder)
    speed, peak = figures["tokens_per_second"], figures["peak_mib"] / 1024
    reached = (case.aim_tokens_per_second is None or speed >= case.aim_tokens_per_second) and (
        case.aim_peak_gib is None or peak <= case.aim_peak_gib
    )
    return {
        "case": name,
        "published": case.published,
        "aim_tokens_per_second": case.aim_tokens_per_second,
        "aim_peak_gib": case.aim_peak_gib,
        "reached": reached,
        **figures,
        **bench.machine(gpu=on_gpu),
    }


def _rows(path: Path, count: int, tokens: int) -> Path:
    """Write rows of so many tokens each; no two are alike."""
    source = random.Random(count)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(json.dumps({"input_ids": source.choices(range(3, _HIGHEST_TOKEN), k=tokens)}) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
