"""`python -m benchmarks.trainer.preferences`: DPO by product and TRL in turn, one JSON line a run, then the ratios.

Tokens are those that are trained on; what the reference is asked costs time and counts none. TRL asks it in every step,
or about all rows beforehand, as the product does; that time is told apart, and shared out over the steps in `in_all`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.trainer.__main__ import Figures, machine, model_of, run_in_process, tell
from lora_trainer import environment

OURS, TRL, TRL_BEFOREHAND = "ours", "trl", "trl-beforehand"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--steps", type=int, default=5, help="steps a run; the last is profiled")
    parser.add_argument("--batch", type=int, default=8, help="pairs a step")
    parser.add_argument("--variants", nargs="+", default=[TRL, TRL_BEFOREHAND, OURS], help="names, in their order")
    parser.add_argument("--model", type=Path, help="a model directory instead of the demo's")
    parser.add_argument("--shape", choices=["llama-1b", "llama-8b"], help="random weights of this shape instead")
    parser.add_argument("--gpu", action="store_true", help="train on the CUDA device of this machine")
    arguments = parser.parse_args()
    environment.prepare_environment()
    from benchmarks.trainer import setting  # noqa: PLC0415 - after the environment

    found: dict[str, list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        base = model_of(arguments, folder)
        gpus = int(arguments.gpu)
        made = setting.make_pairs(folder, base, steps=arguments.steps, batch=arguments.batch, gpus=gpus)
        tell({"pairs": made.order.plan.rows, "tokens": made.order.plan.tokens, **machine(gpu=arguments.gpu)})
        for number in range(arguments.rounds):
            for name in arguments.variants:
                load = round(os.getloadavg()[0], 1)
                figures = run_in_process("benchmarks.trainer.preference_variant", name, folder)
                found[name].append({"load": load, **figures})
                tell({"round": number + 1, **found[name][-1]})
    tell(_ratios({name: _medians(runs) for name, runs in found.items()}))
    return 0


def _medians(runs: list[Figures]) -> dict[str, float]:
    names = [name for name, value in runs[0].items() if isinstance(value, int | float)]
    return {name: round(statistics.median(run[name] for run in runs), 5) for name in names}


def _ratios(medians: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The medians, and the product's figures by those of each way of TRL."""
    ratios = {
        f"{figure}_to_{name}": round(medians[OURS][figure] / medians[name][figure], 2)
        for figure in ("tokens_per_second", "fastest_step", "tokens_per_cpu_second", "in_all", "peak_mib")
        for name in (TRL, TRL_BEFOREHAND)
        if {OURS, name} <= medians.keys()
    }
    return {"medians": medians, **ratios}


if __name__ == "__main__":
    sys.exit(main())
