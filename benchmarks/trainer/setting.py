"""The one setting of all variants: model, rows, hyper-parameters; prepared once by the product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.trainer import rows
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import RunLayout
from lora_contract.order import Order, TrainOrder
from lora_trainer import store
from lora_trainer.data import prepared
from lora_trainer.prepare.stage import prepare

MAX_LENGTH = 512
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]
LEARNING_RATE = 1e-3
LEARNING_RATE_OF_PAIRS = 1e-4
_ORDER = "order.json"


@dataclass(frozen=True)
class Setting:
    """A prepared run below a folder."""

    folder: Path
    order: TrainOrder

    @property
    def on_gpu(self) -> bool:
        """Whether all variants train on a CUDA device."""
        return self.order.spec.compute.gpus > 0

    @property
    def batch(self) -> int:
        """Rows a step, for every variant."""
        return self.order.spec.training.effective_batch_size

    @property
    def model(self) -> Path:
        """The base model's files."""
        return Path((self.order.spec.model.source or "").removeprefix("file://"))

    @property
    def layout(self) -> RunLayout:
        """Where the prepared rows lie."""
        return RunLayout(self.order.spec.output.uri, self.order.run_id or "")

    def rows_file(self, name: str) -> Path:
        """One Parquet file of the hand-over."""
        return Path(self.layout.prepared.removeprefix("file://")) / name

    @property
    def train_file(self) -> Path:
        """The training rows."""
        return self.rows_file(prepared.TRAIN)

    @property
    def held_out_file(self) -> Path:
        """The held-out rows."""
        return self.rows_file(prepared.TEST)


def make(folder: Path, model: Path, *, steps: int, batch: int, held_out: int, gpus: int = 0) -> Setting:
    """Write the rows and prepare them: each is trained on once, in `steps` steps of `batch` rows."""
    train, test = rows.write(folder, train=steps * batch, held_out=held_out)
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": "HuggingFaceTB/SmolLM2-135M-Instruct", "source": f"file://{model}"},
            "dataset": {
                "uri": f"file://{train}",
                "testUri": f"file://{test}",
                "systemPrompt": rows.SYSTEM_PROMPT,
                "split": {"validation": 0, "test": 0},
            },
            **_common(folder, steps=steps, batch=batch, gpus=gpus),
        }
    )
    ready = prepared_order(spec, folder)
    (folder / _ORDER).write_text(ready.model_dump_json(by_alias=True))
    return Setting(folder, ready)


def make_pairs(folder: Path, model: Path, *, steps: int, batch: int, gpus: int = 0) -> Setting:
    """Write pairs and prepare them: each is trained on once, in `steps` steps of `batch` pairs."""
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": "HuggingFaceTB/SmolLM2-135M-Instruct", "source": f"file://{model}"},
            "dataset": {
                "uri": f"file://{rows.write_pairs(folder, steps * batch)}",
                "systemPrompt": rows.SYSTEM_PROMPT,
                "split": {"validation": 0, "test": 0},
            },
            "method": {"dpo": {"beta": 0.1}},
            **_common(folder, steps=steps, batch=batch, gpus=gpus, learning_rate=LEARNING_RATE_OF_PAIRS),
        }
    )
    ready = prepared_order(spec, folder)
    (folder / _ORDER).write_text(ready.model_dump_json(by_alias=True))
    return Setting(folder, ready)


def make_full(
    folder: Path,
    model: Path,
    train: Path,
    test: Path,
    *,
    steps: int,
    batch: int,
    micro_batch: int | None,
    row_tokens: int,
    quantization: str,
    gpus: int,
) -> Setting:
    """Prepare rows of tokens, all of the same length, for adapters on all linear layers."""
    common = _common(folder, steps=steps, batch=batch, gpus=gpus)
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": "random/weights", "source": f"file://{model}"},
            "dataset": {
                "uri": f"file://{train}",
                "testUri": f"file://{test}",
                "format": "tokens",
                "split": {"validation": 0, "test": 0},
            },
            **common,
            "quantization": {"type": quantization, "doubleQuant": True},
            "lora": {**common["lora"], "targetModules": ["all-linear"]},
            "training": {**common["training"], "maxLength": row_tokens, "microBatchSize": micro_batch},
            "evaluation": {"samples": 0},
        }
    )
    ready = prepared_order(spec, folder)
    (folder / _ORDER).write_text(ready.model_dump_json(by_alias=True))
    return Setting(folder, ready)


def _common(folder: Path, *, steps: int, batch: int, gpus: int, learning_rate: float = LEARNING_RATE) -> dict[str, Any]:
    """What all runs are told alike."""
    return {
        "quantization": {"type": "nf4", "doubleQuant": True},
        "lora": {"r": 16, "alpha": 32, "dropout": 0, "targetModules": MODULES},
        "training": {
            "maxSteps": steps,
            "maxLength": MAX_LENGTH,
            "effectiveBatchSize": batch,
            "learningRate": learning_rate,
        },
        "output": {"uri": f"file://{folder}/output"},
        "storage": {"secretName": "none"},
        "compute": {"gpus": gpus},
    }


def prepared_order(spec: LoRAFineTuneSpec, folder: Path) -> TrainOrder:
    """Prepare a run with files below `folder`; the order to train it."""
    order = Order(
        stage="prepare", namespace="bench", name="bench", uid="bench", spec=spec, scratch=str(folder / "scratch")
    )
    report = prepare(order, store.from_environment(5))
    return TrainOrder.of(order.model_copy(update={"stage": "train", "run_id": report.run_id, "plan": report.plan}))


def load(folder: Path) -> Setting:
    """The setting that `make` left in a folder."""
    return Setting(folder, TrainOrder.model_validate_json((folder / _ORDER).read_text()))
