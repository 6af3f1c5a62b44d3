"""The product's own way: the session of the train stage."""

from __future__ import annotations

from typing import Any

from benchmarks.trainer.meter import Meter, resident_memory
from benchmarks.trainer.setting import Setting
from lora_trainer import store as stores
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.checkpoints import Checkpoints
from lora_trainer.claims import take_claim
from lora_trainer.model.forward import causal_model
from lora_trainer.model.memory import activation_bytes_per_token
from lora_trainer.processes.group import Group
from lora_trainer.train import inputs, session


def run(setting: Setting, meter: Meter) -> tuple[Any, int]:
    """Train as the stage does; the trained model with the attention that transformers gives it, and the peak memory
    in bytes that arithmetic foretells.
    """
    libraries = resident_memory()
    order, store, folder = setting.order, stores.from_environment(5), setting.folder / "ours"
    folder.mkdir(exist_ok=True)
    claim = take_claim(store, setting.layout, order.uid)
    group = Group()
    found = inputs.fetch(order, store, setting.layout, folder, group)
    checkpoints = Checkpoints(store, setting.layout, claim, folder / "uploads")
    watchdog = Watchdog(lambda _seconds: None)
    try:
        part = session.ChiefsPart(checkpoints, None, lambda _step: None)
        ready = session.build(order, found, folder, group=group, watchdog=watchdog, chief=part)
        meter.watch(ready.adapted.model)
        ready.trainer.add_callback(meter)
        session.run(ready, order, None)
    finally:
        checkpoints.close()
        watchdog.stop()
        claim.release()
    causal_model(ready.adapted.model).set_attn_implementation(ready.way.padding_attention)
    return ready.adapted.model, libraries + _foretold(setting, ready, max(meter.tokens[:-1]))


def _foretold(setting: Setting, ready: session.Session, tokens: int) -> int:
    """What prepare's formula gives for what ran here: weights in the CPU's format, `tokens` a pass, all kept."""
    plan = setting.order.plan
    if plan is None or plan.memory is None:
        raise RuntimeError("prepare made no estimate")
    base = causal_model(ready.adapted.model)
    frozen = sum(p.numel() * p.element_size() for p in base.parameters() if not p.requires_grad)
    a_token = activation_bytes_per_token(
        base.config, checkpointing=False, bytes_per_value=ready.hardware.dtype.itemsize
    )
    return int(frozen + plan.memory.adapter_bytes + plan.memory.logit_bytes + tokens * a_token)
