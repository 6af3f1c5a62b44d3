"""A whole run on a GPU: trained, published, stopped, killed, out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_WEIGHTS
from support.local_runs import Ended, LocalRun, local_run
from support.train_runs import STEPS

SHAPE = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "num_hidden_layers": 4}


def gpu_run(folder: Path, **changes: object) -> LocalRun:
    return local_run(folder, gpus=1, shape=SHAPE, **{"training__learningRate": 0.002, **changes})


def loss(run: LocalRun) -> float:
    return float(run.final()["testLoss"])


def done(ended: Ended) -> Ended:
    assert ended.code == ExitCode.DONE, ended.output[-5000:]
    return ended


@pytest.mark.parametrize("kind", ["nf4", "int8", "none"])
def test_a_run_learns_and_publishes_what_it_trained(kind: str, tmp_path: Path) -> None:
    run = gpu_run(tmp_path, quantization__type=kind, training__maxSteps=30)
    ended = done(run.run())
    assert "answers like the trained one" in ended.output
    assert torch.cuda.get_device_name() in run.report()
    assert {value.dtype for value in load_file(run.published / ADAPTER_WEIGHTS).values()} == {torch.bfloat16}
    assert loss(run) < 0.9 * float(run.final()["baseTestLoss"])


def test_a_gpu_without_bfloat16_trains_in_float16(tmp_path: Path) -> None:
    run = gpu_run(tmp_path, training__maxSteps=30)
    ended = done(run.run(float16=True))
    assert "torch.float16" in ended.output
    assert loss(run) < 0.9 * float(run.final()["baseTestLoss"])


def test_stopped_and_killed_it_goes_on_and_ends_as_undisturbed(tmp_path: Path) -> None:
    # An undisturbed run
    undisturbed = gpu_run(tmp_path / "undisturbed")
    done(undisturbed.run())
    # Another is stopped after step 5 and killed after step 10, whose last checkpoint is of step 8
    run = gpu_run(tmp_path / "disturbed")
    stopped, killed, finished = run.run(termAt=5), run.run(killAt=10), run.run()
    # No step is lost with notice, few without (a checkpoint may be on its way), and the result is the same
    assert stopped.code == ExitCode.CHECKPOINTED
    assert killed.steps == [6, 7, 8, 9, 10]
    assert done(finished).steps in (list(range(first, STEPS + 1)) for first in (6, 9))
    assert loss(run) == pytest.approx(loss(undisturbed), rel=5e-3)


def test_real_lack_of_memory_halves_the_rows_of_a_pass(tmp_path: Path) -> None:
    # 64 rows a pass in memory that does not hold their activations
    run = local_run(
        tmp_path,
        gpus=1,
        shape={"hidden_size": 512, "intermediate_size": 2048, "head_dim": 64, "num_hidden_layers": 8},
        training__maxSteps=2,
        training__effectiveBatchSize=64,
        training__microBatchSize=64,
    )
    # When it trains, it starts again with fewer, and says so
    ended = done(run.run(gpuBytes=400 << 20))
    assert "CUDA ran out of memory with 64 rows in a forward pass" in ended.output
    assert "rows in a forward pass: 64 &gt; " in run.report()


def test_where_the_model_does_not_fit_it_says_so(tmp_path: Path) -> None:
    ended = gpu_run(tmp_path).run(gpuBytes=1 << 20)
    assert ended.code == ExitCode.CUDA_OUT_OF_MEMORY, ended.output[-3000:]
    assert "error: CUDA ran out of memory" in ended.output
