"""How long runs took, kept in the store for the estimates of later ones. Best effort: no run depends on it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from pydantic import ValidationError

from lora_contract import layout
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import TrainOrder
from lora_contract.report import Timing
from lora_contract.status import PlanStatus
from lora_trainer.errors import TrainerError
from lora_trainer.planning.run_time import RunTime, key_of, tokens_of
from lora_trainer.store.protocol import ObjectInfo, Store

log = logging.getLogger(__name__)

#: Runs of one kind that are kept, the newest; and objects of all kinds.
MOST_ALIKE = 8
MOST_IN_ALL = 500
#: Bytes of an object that is read; ours have about 100.
LARGEST = 4096


def keep(store: Store, order: TrainOrder, timing: Timing, training_seconds: float) -> None:
    """Write what the pod of a published run took from its first to its last step and beside; delete the oldest."""
    steps = timing.last_step - timing.from_step
    commit = order.plan.model_commit
    if steps <= 0 or training_seconds <= 0 or commit is None:
        return
    try:
        found = RunTime(
            before=timing.seconds_before_first_step,
            training=training_seconds,
            after=timing.seconds_after_last_step,
            tokens=tokens_of(order.spec, order.plan, steps),
        )
        output = order.spec.output.uri
        folder = layout.run_times(output, key_of(order.spec, commit))
        address = f"{folder}/{datetime.now(UTC):%Y%m%dT%H%M%S}-{order.run_id}.json"
        store.write(address, found.model_dump_json(by_alias=True).encode(), content_type="application/json")
        for info in [
            *_newest_first(store, folder)[MOST_ALIKE:],
            *_newest_first(store, layout.run_times(output))[MOST_IN_ALL:],
        ]:
            store.delete(info.uri)
    except (TrainerError, ValidationError) as error:
        log.info("how long the run took is not kept for estimates: %s", error)


def earlier(store: Store, spec: LoRAFineTuneSpec, plan: PlanStatus) -> list[RunTime]:
    """Read how long the newest runs like this one took; what is damaged, or cannot be read, does not count."""
    if plan.model_commit is None:
        return []
    found = []
    try:
        for info in _newest_first(store, layout.run_times(spec.output.uri, key_of(spec, plan.model_commit)))[
            :MOST_ALIKE
        ]:
            content = store.read_if_exists(info.uri) if info.size <= LARGEST else None
            if content is not None and (run := _parsed(content, info)) is not None:
                found.append(run)
    except TrainerError as error:
        log.info("earlier runs are not known: %s", error)
    return found


def _parsed(content: bytes, info: ObjectInfo) -> RunTime | None:
    try:
        return RunTime.model_validate_json(content)
    except ValidationError:
        log.warning("%s is damaged; it does not count for the estimate", info.uri)
        return None


def _newest_first(store: Store, folder: str) -> list[ObjectInfo]:
    return sorted(store.list(folder), key=lambda info: info.uri.rpartition("/")[2], reverse=True)
