"""`python -m benchmarks.trainer.variant NAME FOLDER`: one variant in a process of its own; its figures as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trainer import setting as settings
from benchmarks.trainer.meter import Meter, held_out_loss, process_started
from lora_trainer.batches.prepared_rows import EffectiveBatches, Rows


def main() -> None:
    """Train, measure, print."""
    name, setting = sys.argv[1], settings.load(Path(sys.argv[2]))
    meter = Meter()
    model, estimate = _train(name, setting, meter)
    trained = time.time()
    steps, tokens = len(meter.seconds), sum(meter.tokens)
    held_out = Rows(setting.held_out_file)
    figures: dict[str, Any] = {
        "variant": name,
        "tokens_per_second": round(meter.tokens_per_second(), 1),
        "fastest_step": round(meter.fastest(), 1),
        "peak_mib": round(meter.peak_bytes / 2**20),
        "estimated_mib": None if estimate is None else round(estimate / 2**20),
        "held_out_loss": round(held_out_loss(model, [held_out[i] for i in range(len(held_out))]), 5),
        "share_outside_products": round(meter.share_outside_products, 4),
        "share_idle": round(meter.share_idle, 4),
        "steps": steps,
        "tokens": tokens,
        "step_seconds": [round(seconds, 2) for seconds in meter.seconds],
        "seconds_to_first_step": round(meter.first_step_began - process_started(), 1),
        "seconds_in_all": round(trained - process_started(), 1),
        "most_expensive": meter.most_expensive,
    }
    print(json.dumps(figures), flush=True)


def _train(name: str, setting: settings.Setting, meter: Meter) -> tuple[Any, int | None]:
    if name == "ours":
        from benchmarks.trainer import ours  # noqa: PLC0415 - each variant pays for its own imports only

        return ours.run(setting, meter)
    rows = Rows(setting.train_file)
    seed = setting.order.spec.training.seed
    batches = EffectiveBatches(len(rows), effective_batch_size=setting.batch, micro_batch_size=setting.batch, seed=seed)
    # The order of the product, so that every step of every variant that does not pack sees the same rows.
    ordered = [rows[int(index)] for index in np.concatenate(list(batches))]
    if name == "recipe":
        from benchmarks.trainer import recipe  # noqa: PLC0415

        return recipe.run(setting, ordered, meter), None
    from benchmarks.trainer import trl_sft  # noqa: PLC0415

    return trl_sft.run(setting, ordered, meter, name), None


if __name__ == "__main__":
    main()
