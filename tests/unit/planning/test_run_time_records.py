"""How long runs took is kept in bounds, read with care, and never in the way of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract import layout
from lora_contract.order import Order, TrainOrder
from lora_contract.report import Timing
from lora_contract.status import PlanStatus
from lora_trainer import store as stores
from lora_trainer.planning import run_time_records
from lora_trainer.planning.run_time import key_of
from lora_trainer.store.protocol import Store
from support.prepare_orders import order

PLAN = PlanStatus(rows=10, tokens=1000, total_steps=4, model_commit="a" * 40)
TIMING = Timing(last_step=4, seconds_before_first_step=7, seconds_after_last_step=3)


@pytest.fixture
def store() -> Store:
    return stores.from_environment(2)


def trained(tmp_path: Path, number: int = 0, **update: object) -> TrainOrder:
    made: Order = order(tmp_path, {"model.source": "s3://models/tiny/", "output.uri": f"file://{tmp_path}/output"})
    return TrainOrder.of(made.model_copy(update={"run_id": f"{number:032x}", "plan": PLAN, **update}))


def folder_of(made: TrainOrder) -> str:
    return layout.run_times(made.spec.output.uri, key_of(made.spec, PLAN.model_commit or ""))


def test_what_a_run_took_is_found_by_the_next_one_like_it(store: Store, tmp_path: Path) -> None:
    made = trained(tmp_path)
    run_time_records.keep(store, made, TIMING, 40.5)

    (found,) = run_time_records.earlier(store, made.spec, PLAN)

    assert (found.before, found.training, found.after) == (7, 40.5, 3)
    assert run_time_records.earlier(store, made.spec, PLAN.model_copy(update={"model_commit": "b" * 40})) == []


def test_only_the_newest_are_kept(store: Store, tmp_path: Path) -> None:
    for number in range(run_time_records.MOST_ALIKE + 3):
        run_time_records.keep(store, trained(tmp_path, number), TIMING, 40)

    assert len(list(store.list(folder_of(trained(tmp_path))))) == run_time_records.MOST_ALIKE


def test_what_is_damaged_or_too_large_does_not_count(store: Store, tmp_path: Path) -> None:
    made = trained(tmp_path)
    run_time_records.keep(store, made, TIMING, 40)
    good = store.read(next(iter(store.list(folder_of(made)))).uri)
    store.write(f"{folder_of(made)}/20990101T000000-a.json", b"no json")
    store.write(f"{folder_of(made)}/20990101T000000-b.json", b'{"before": -5}')
    store.write(f"{folder_of(made)}/20990101T000000-c.json", good + b" " * run_time_records.LARGEST)

    assert len(run_time_records.earlier(store, made.spec, PLAN)) == 1


def test_a_process_without_steps_leaves_nothing(store: Store, tmp_path: Path) -> None:
    made = trained(tmp_path)
    run_time_records.keep(store, made, TIMING.model_copy(update={"from_step": 4}), 0)

    assert run_time_records.earlier(store, made.spec, PLAN) == []


def test_a_store_that_refuses_is_no_failure(store: Store, tmp_path: Path) -> None:
    made = trained(tmp_path)
    (tmp_path / "output").write_text("no folder")

    run_time_records.keep(store, made, TIMING, 40)

    assert run_time_records.earlier(store, made.spec, PLAN) == []
