"""`python -m benchmarks.trainer`: the recipe, TRL and the product in turn, one JSON line a run, then the ratios.

Every variant runs in a process of its own; a round is one run of each, so what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.trainer import page
from lora_trainer import environment

Figures = dict[str, Any]

OURS = "ours"
RECIPE = "recipe"
UNPACKED = "trl-unpacked"
PACKED = "trl-packed"
_SHOWN = {RECIPE: "the recipe", UNPACKED: "TRL, padded", PACKED: "TRL, packed", OURS: "lora-operator"}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--steps", type=int, default=6, help="steps a run; the last is profiled")
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--held-out", type=int, default=24, help="rows that the loss is measured on")
    parser.add_argument("--variants", nargs="+", default=[RECIPE, UNPACKED, PACKED, OURS], help="names, in their order")
    parser.add_argument("--model", type=Path, help="a model directory instead of the demo's")
    parser.add_argument("--shape", choices=["llama-1b", "llama-8b"], help="random weights of this shape instead")
    parser.add_argument("--gpu", action="store_true", help="train on the CUDA device of this machine")
    parser.add_argument("--page", type=Path, default=None, help="write figures and chart into this page")
    arguments = parser.parse_args()
    environment.prepare_environment()
    from benchmarks.trainer import setting  # noqa: PLC0415 - after the environment

    found: dict[str, list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        base = model_of(arguments, folder)
        made = setting.make(
            folder,
            base,
            steps=arguments.steps,
            batch=arguments.batch,
            held_out=arguments.held_out,
            gpus=int(arguments.gpu),
        )
        run = {"rows": arguments.steps * arguments.batch, **_plan(made.order.plan), **machine(gpu=arguments.gpu)}
        tell(run)
        for number in range(arguments.rounds):
            for name in arguments.variants:
                load = round(os.getloadavg()[0], 1)
                found[name].append({"load": load, **run_in_process("benchmarks.trainer.variant", name, folder)})
                tell({"round": number + 1, **found[name][-1]})
    medians = {name: _median(runs) for name, runs in found.items()}
    tell({"medians": medians})
    if {RECIPE, UNPACKED, PACKED, OURS} <= medians.keys():
        ratios = summary(medians)
        tell(ratios)
        if arguments.page is not None:
            loads = [figures["load"] for runs in found.values() for figures in runs]
            page.write(arguments.page, _SHOWN, medians, ratios, {**run, "rounds": arguments.rounds, "loads": loads})
    return 0


def model_of(arguments: argparse.Namespace, folder: Path) -> Path:
    """The base model of all variants."""
    from benchmarks.trainer import random_model  # noqa: PLC0415 - after the environment
    from lora_demo import model  # noqa: PLC0415

    base: Path = arguments.model or model.ensure()
    return random_model.write(folder / "model", arguments.shape, base) if arguments.shape else base


def run_in_process(module: str, name: str, folder: Path) -> Figures:
    """Run one variant of a module; what it printed.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", module, name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def summary(medians: dict[str, Figures]) -> Figures:
    """The ratios that the project promises."""
    ours, unpacked, packed = medians[OURS], medians[UNPACKED], medians[PACKED]
    best = max(unpacked["tokens_per_second"], packed["tokens_per_second"])
    return {
        "speed_to_recipe": round(ours["tokens_per_second"] / medians[RECIPE]["tokens_per_second"], 2),
        "speed_to_best_trl": round(ours["tokens_per_second"] / best, 2),
        "fastest_step_to_recipe": round(ours["fastest_step"] / medians[RECIPE]["fastest_step"], 2),
        "fastest_step_to_best_trl": round(
            ours["fastest_step"] / max(unpacked["fastest_step"], packed["fastest_step"]), 2
        ),
        "peak_to_trl_packed": round(ours["peak_mib"] / packed["peak_mib"], 3),
        "loss_to_trl_unpacked": round(ours["held_out_loss"] / unpacked["held_out_loss"], 5),
        "estimated_to_measured_peak": round(ours["estimated_mib"] / ours["peak_mib"], 3),
    }


def _median(runs: list[Figures]) -> Figures:
    names = [name for name, value in runs[0].items() if isinstance(value, int | float)]
    return {name: round(statistics.median(run[name] for run in runs), 5) for name in names}


def _plan(plan: Any) -> Figures:
    return {"tokens": plan.tokens, "target_tokens": plan.target_tokens, "dataset": plan.dataset_digest[:12]}


def machine(*, gpu: bool) -> Figures:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    found = {"cpu": name, "cores": environment.cpu_count(), "python": sys.version.split()[0]}
    if gpu:
        import torch  # noqa: PLC0415 - after the environment

        found |= {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    return found


def tell(figures: Figures) -> None:
    """Print a line."""
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    sys.exit(main())
