"""What a run will take is known from what one like it took, before it asks for a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_trainer.planning import run_time_records
from lora_trainer.prepare.stage import prepare
from support.seaweedfs import SeaweedFS
from support.shared_data_process import shared_data_process
from support.train_runs import TrainRun, prepared_run


def longer(run: TrainRun, folder: Path) -> TrainRun:
    """Prepare a run of three times the steps beside one, in the same output."""
    document = run.order.spec.dump()
    document["training"] |= {"maxSteps": 3 * run.order.spec.training.max_steps, "seed": 7}
    spec = LoRAFineTuneSpec.model_validate(document)
    order = Order(stage="prepare", namespace="test", name="longer", uid="uid-2", spec=spec, scratch=str(folder))
    with shared_data_process():
        report = prepare(order, run.store)
    update = {"stage": "train", "run_id": report.run_id, "plan": report.plan}
    return TrainRun(run.server, folder, order.model_copy(update=update))


def test_a_longer_run_is_expected_to_take_what_the_shorter_one_took_with_its_steps_in_proportion(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path
) -> None:
    short = prepared_run(s3_server, tmp_path / "short", *sources)
    assert short.order.plan is not None
    assert short.order.plan.estimate is None
    assert short.finish().code == ExitCode.DONE

    long = longer(short, tmp_path / "long")

    assert long.order.plan is not None
    expected = long.order.plan.estimate
    assert expected is not None
    assert (expected.basis, expected.runs, expected.gpu_hours) == ("EarlierRuns", 1, "0.0000")
    # What the short run took is measured; how far the long one is from it says more of a busy machine than of the rule.
    (took,) = run_time_records.earlier(long.store, long.order.spec, long.order.plan)
    assert min(took.before, took.training) > 0
    assert expected.seconds == pytest.approx(took.before + 3 * took.training + took.after, abs=1)
    assert expected.low < expected.seconds < expected.high
