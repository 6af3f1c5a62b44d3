"""`python -m benchmarks.trainer.preference_variant NAME FOLDER`: one variant of DPO in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from benchmarks.trainer import ours
from benchmarks.trainer import setting as settings
from benchmarks.trainer.meter import Meter, now
from lora_trainer.batches.compared_rows import Pairs
from lora_trainer.batches.prepared_rows import EffectiveBatches
from lora_trainer.train import session

#: Pairs a forward pass of TRL, each of which is two padded rows.
_PER_PASS = 4


def main() -> None:
    """Train, measure, print."""
    name, setting = sys.argv[1], settings.load(Path(sys.argv[2]))
    meter, asked = Meter(), 0.0
    if name == "ours":

        def note(seconds: float) -> None:
            nonlocal asked
            asked = seconds

        # Each run asks the reference anew: its own folder is the store's.
        with ours.built(setting.order, setting.folder / "ours", asked=note) as ready:
            meter.watch(ready.adapted.model)
            ready.trainer.add_callback(meter)
            session.run(ready, setting.order, None)
            losses = _losses(ready.trainer)
        _forget_reference(setting)
    else:
        asked, trainer = _trl(setting, meter, beforehand=name == "trl-beforehand")
        losses = _losses(trainer)
    # Each pair is trained on once, so the reference is asked once for all tokens of the run.
    in_all = 1 / (1 / meter.tokens_per_second() + asked / sum(meter.tokens))
    figures: dict[str, Any] = {
        "variant": name,
        "tokens_per_second": round(meter.tokens_per_second(), 1),
        "fastest_step": round(meter.fastest(), 1),
        "tokens_per_cpu_second": round(meter.tokens_per_cpu_second(), 1),
        "reference_seconds": round(asked, 2),
        "in_all": round(in_all, 1),
        "peak_mib": round(meter.peak_bytes / 2**20),
        "tokens": sum(meter.tokens),
        "step_seconds": [round(seconds, 2) for seconds in meter.seconds],
        "losses": [round(loss, 4) for loss in losses],
    }
    print(json.dumps(figures), flush=True)


def _losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _forget_reference(setting: settings.Setting) -> None:
    from lora_trainer import store  # noqa: PLC0415 - for this variant only

    store.from_environment(5).delete(setting.layout.reference("all").rpartition("/")[0])


def _trl(setting: settings.Setting, meter: Meter, *, beforehand: bool) -> tuple[float, Any]:
    """Train with DPOTrainer on the product's pairs, in its order; the seconds before training, and the trainer."""
    from trl import DPOConfig, DPOTrainer  # noqa: PLC0415 - each variant pays for its own imports only

    from benchmarks.trainer.recipe import common_arguments, four_bit_base, lora_config  # noqa: PLC0415

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    arguments = DPOConfig(
        output_dir=str(setting.folder / "trl"),
        max_steps=setting.order.spec.training.max_steps or 0,
        per_device_train_batch_size=_PER_PASS,
        gradient_accumulation_steps=setting.batch // _PER_PASS,
        precompute_ref_log_probs=beforehand,
        precompute_ref_batch_size=_PER_PASS,
        learning_rate=settings.LEARNING_RATE_OF_PAIRS,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=0.01,
        max_length=None,
        beta=0.1,
        bf16=False,
        gradient_checkpointing=False,
        **common_arguments(setting),
    )
    model = four_bit_base(setting)
    began = now()
    trainer = Tokenised(
        model,
        args=arguments,
        train_dataset=Dataset.from_list(_pairs(setting)),
        peft_config=lora_config(setting),
        callbacks=[meter],
    )
    before = now() - began if beforehand else 0.0
    meter.watch(trainer.model)
    trainer.train()
    return before, trainer


def _pairs(setting: settings.Setting) -> list[dict[str, list[int]]]:
    """The pairs in the order of the product, so that every step of every variant sees the same."""
    rows = Pairs(setting.train_file)
    seed = setting.order.spec.training.seed
    batches = EffectiveBatches(len(rows), effective_batch_size=setting.batch, micro_batch_size=setting.batch, seed=seed)
    found = []
    for index in np.concatenate(list(batches)):
        chosen, rejected = rows[int(index)].sequences
        found.append(
            {
                "prompt_ids": chosen.input_ids[~chosen.targets].tolist(),
                "chosen_ids": chosen.input_ids[chosen.targets].tolist(),
                "rejected_ids": rejected.input_ids[rejected.targets].tolist(),
            }
        )
    return found


if __name__ == "__main__":
    main()
