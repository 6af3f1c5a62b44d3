"""What a process does that shares the training of a run, while the leader speaks for it."""

from __future__ import annotations

from pathlib import Path

from lora_contract.layout import RunLayout
from lora_contract.order import TrainOrder
from lora_contract.report import Report
from lora_trainer.callbacks.watchdog import Watchdog
from lora_trainer.processes.group import Group
from lora_trainer.store import Store
from lora_trainer.termination import report_stall
from lora_trainer.train import inputs, session

#: Word of the leader: whether there is anything to train.
TRAINS = "trains"


def follow(order: TrainOrder, store: Store, layout: RunLayout, folder: Path, group: Group) -> Report:
    """Share the steps and evaluations of the leader; its report says nothing.

    Raises:
        TrainerError, StopRequested, SmallerMicroBatch: as `lora_trainer.train.stage.train`.
    """
    silent = Report(stage="train", run_id=order.run_id)
    if not group.from_leader(TRAINS, bool, lambda: True):
        return silent
    shared = group.place.folder or folder
    checkpoint = inputs.checkpoint(store, layout, shared, group)
    found = inputs.fetch(order, store, layout, shared, group)
    # Only now: another process may take its time to bring the model.
    watchdog = Watchdog(lambda seconds: report_stall(order, seconds))
    try:
        ready = session.build(order, found, folder, group=group, watchdog=watchdog, leader=None)
        session.resume(ready, checkpoint)
        session.run(ready, order, checkpoint)
        group.leave()
    finally:
        watchdog.stop()
    group.await_dismissal()
    return silent
