"""A dataset, a model and an output on this machine, and the order that prepares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.status import ArtifactStatus
from lora_trainer import store as stores
from lora_trainer.ledger.claims import Claim
from lora_trainer.prepare.stage import prepare
from lora_trainer.publish import Provenance, publish
from support.chat_models import save_model
from support.prepared_data import chat, lines
from support.specs import REMOVED, changed


@dataclass(frozen=True)
class Place:
    """Everything of one run below a folder, and the order for it."""

    folder: Path
    order: Order

    def prepare(self) -> Report:
        """Run the stage."""
        return prepare(self.order, stores.from_environment(2))

    def layout(self, report: Report) -> RunLayout:
        """Where the run lies."""
        return RunLayout(self.order.spec.output.uri, str(report.run_id))

    def prepared(self, report: Report, name: str) -> Path:
        """A file of the hand-over."""
        return Path(self.layout(report).prepared.removeprefix("file://")) / name


def order(folder: Path, changes: dict[str, Any], **fields: Any) -> Order:
    """An order to prepare with a spec that is the least one with changes."""
    spec = LoRAFineTuneSpec.model_validate(changed({"model.revision": REMOVED, **changes}))
    known: dict[str, Any] = {
        "stage": "prepare",
        "namespace": "team-a",
        "name": "triage",
        "uid": "1",
        "scratch": str(folder / "scratch"),
        "unavailable_budget_seconds": 2,
    }
    return Order(spec=spec, **(known | fields))


def place(folder: Path, *, rows: int = 40, family: str = "chatml", **changes: Any) -> Place:
    """A good run on `file://` addresses, with changes such as `lora__r=8`."""
    if not (folder / "model").exists():
        save_model(folder / "model", family)
    if not (folder / "rows.jsonl").exists():
        (folder / "rows.jsonl").write_bytes(lines(chat(f"Question {n}?", f"Answer {n}.") for n in range(rows)))
    base = {
        "model.source": f"file://{folder}/model",
        "dataset.uri": f"file://{folder}/rows.jsonl",
        "output.uri": f"file://{folder}/output",
        "training": {"epochs": 2, "effectiveBatchSize": 8},
    }
    fields = {key: changes.pop(key) for key in ("cache",) if key in changes}
    paths = {key.replace("__", "."): value for key, value in changes.items()}
    return Place(folder, order(folder, base | paths, **fields))


def publish_adapter(folder: Path, layout: RunLayout, claim: Claim, *, dataset_digest: str = "c" * 64) -> ArtifactStatus:
    """An adapter of this identity, published from `folder` with files that hold nothing."""
    files = folder / "adapter"
    files.mkdir()
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (files / name).write_text("{}")
    provenance = Provenance(
        run_id=layout.run_id,
        spec_hash="a" * 64,
        base_model="org/base",
        model_commit="b" * 40,
        dataset_digest=dataset_digest,
        required_max_lora_rank=16,
        warnings=["the validation loss rose at the end"],
        created_at="2025-01-01T00:00:00Z",
    )
    return publish(stores.from_environment(2), layout, "other", files, provenance, still_ours=claim.check)
