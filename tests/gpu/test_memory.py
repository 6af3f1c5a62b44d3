"""What `prepare` foretells of a GPU's memory, and what a session plans for, against measured peaks.

One line of figures a case: `make test-gpu` shows them.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import torch
from benchmarks.trainer import ours, random_model, setting

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_trainer.planning import micro_batch
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.train import session
from support.tiny_models import byte_tokenizer

GIB = 1 << 30


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    return random_model.write(folder / "llama-1b", "llama-1b", folder / "tokenizer")


def prepared(folder: Path, model: Path, *, row_tokens: int, quantization: str) -> Order:
    """A run of two steps on rows of that length, prepared."""
    row = json.dumps({"prompt": "say a", "completion": "a" * 2 * row_tokens})
    rows = (row.replace("say a", f"say {number}") for number in range(16))
    (folder / "data.jsonl").write_text("\n".join(rows))
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": "example/llama-1b", "source": f"file://{model}"},
            "dataset": {"uri": f"file://{folder}/data.jsonl", "split": {"validation": 0, "test": 0}},
            "quantization": {"type": quantization},
            "training": {"maxSteps": 2, "maxLength": row_tokens, "effectiveBatchSize": 8},
            "output": {"uri": f"file://{folder}/output"},
            "storage": {"secretName": "none"},
        }
    )
    return setting.prepared_order(spec, folder)


def peak_of(order: Order, folder: Path) -> tuple[int, bool, int]:
    """Rows of a pass, whether activations were computed again, and the peak in bytes of a run."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with ours.built(order, folder / "session") as ready:
        session.run(ready, order, None)
        plan = ready.micro_batch_size, bool(ready.trainer.args.activation_checkpointing)
    return *plan, torch.cuda.max_memory_allocated()


@pytest.mark.parametrize("quantization", ["nf4", "none"])
@pytest.mark.parametrize("row_tokens", [1024, 8192])
def test_what_prepare_foretells_covers_the_peak_and_little_more(
    row_tokens: int, quantization: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The least that a session falls back to: one row a pass, activations computed again
    monkeypatch.setattr(micro_batch, "plan_memory", lambda *_, **__: MemoryPlan(1, True))
    order = prepared(tmp_path, model, row_tokens=row_tokens, quantization=quantization)
    assert order.plan is not None
    needed = order.plan.memory
    assert needed is not None
    # It trains
    *_, peak = peak_of(order, tmp_path)
    # The estimate, without the context that torch does not count, lies between the peak and half more
    foretold = needed.total_bytes - needed.context_bytes
    print(json.dumps({"rowTokens": row_tokens, "type": quantization, "peak": peak, "foretold": foretold}))
    assert peak <= foretold <= 1.5 * peak


@pytest.mark.parametrize("gibibytes", [4, 8, 24])
@pytest.mark.parametrize("row_tokens", [1024, 8192])
def test_the_planned_rows_of_a_pass_fit_the_gpu(
    gibibytes: int, row_tokens: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A GPU with that much memory
    limit = gibibytes * GIB
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.mem_get_info()[1])
    monkeypatch.setattr(session, "free_memory", lambda _hardware: limit - torch.cuda.memory_reserved())
    order = prepared(tmp_path, model, row_tokens=row_tokens, quantization="nf4")
    # When a session plans and trains, it does not run out of memory
    try:
        rows, checkpointing, peak = peak_of(order, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    figures = {"limit": limit, "rowTokens": row_tokens, "rows": rows, "checkpointing": checkpointing, "peak": peak}
    print(json.dumps(figures))
    assert peak < limit
