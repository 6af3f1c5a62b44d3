"""The product's own way: the session of the train stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.trainer.meter import Meter, memory_before_model, now
from benchmarks.trainer.setting import Setting
from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_trainer import store as stores
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.ledger.checkpoints import Checkpoints
from lora_trainer.ledger.claims import take_claim
from lora_trainer.model.forward import causal_model
from lora_trainer.planning.micro_batch import activation_bytes_per_token
from lora_trainer.processes.group import Group
from lora_trainer.train import inputs, reference, session


def run(setting: Setting, meter: Meter) -> tuple[Any, int]:
    """Train as the stage does; the trained model with the attention that transformers gives it, and the peak memory
    in bytes that arithmetic foretells.
    """
    libraries = memory_before_model()
    with built(setting.order, setting.folder / "ours") as ready:
        meter.watch(ready.adapted.model)
        ready.trainer.add_callback(meter)
        session.run(ready, setting.order, None)
    causal_model(ready.adapted.model).set_attn_implementation(ready.forward_pass.padding_attention)
    return ready.adapted.model, libraries + _foretold(setting, ready, max(meter.tokens[:-1]))


@contextmanager
def built(
    order: TrainOrder, folder: Path, *, asked: Callable[[float], None] = lambda _seconds: None
) -> Iterator[session.Session]:
    """The session of a prepared run, as the train stage makes it, ready for `session.run`.

    `asked` is told how many seconds the reference was asked about the rows, where preferences are learned.
    """
    store, layout, group = stores.from_environment(5), RunLayout(order.spec.output.uri, order.run_id), Group()
    folder.mkdir(exist_ok=True)
    claim = take_claim(store, layout, order.uid)
    found = inputs.fetch(order, store, layout, folder, group)
    checkpoints = Checkpoints(store, layout, claim, folder / "uploads")
    watchdog = Watchdog(lambda _seconds: None)
    try:
        part = session.LeaderDuties(checkpoints, None, lambda _step: None)
        ready = session.build(order, found, folder, group=group, watchdog=watchdog, leader=part)
        began = now()
        reference.ask(ready, order, found, store=store, layout=layout, folder=folder, alive=watchdog.beat)
        asked(now() - began)
        yield ready
    finally:
        checkpoints.close()
        watchdog.stop()
        claim.release()


def _foretold(setting: Setting, ready: session.Session, tokens: int) -> int:
    """What prepare's formula gives for what ran here: weights as they lie, `tokens` a pass, activations kept or not."""
    plan = setting.order.plan
    if plan is None or plan.memory is None:
        raise RuntimeError("prepare made no estimate")
    base = causal_model(ready.adapted.model)
    frozen = sum(p.numel() * p.element_size() for p in base.parameters() if not p.requires_grad)
    a_token = activation_bytes_per_token(
        base.config,
        checkpointing=bool(ready.trainer.args.activation_checkpointing),
        bytes_per_value=ready.hardware.dtype.itemsize,
    )
    return int(frozen + plan.memory.adapter_bytes + plan.memory.logit_bytes + tokens * a_token)
