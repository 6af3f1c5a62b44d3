"""The order of rows, the micro batch, the history."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import QuantizationSpec, TrainingSpec
from lora_contract.names import ENV_ALLOW_CPU, ENV_CPU_FLOAT32, ENV_PROGRESS_CA, ENV_PROGRESS_TOKEN, ENV_PROGRESS_URL
from lora_trainer.batches.prepared_rows import EffectiveBatches, EpochLoader, Rows
from lora_trainer.data.prepared import TEST_SCHEMA
from lora_trainer.errors import TrainerError
from lora_trainer.model.hardware import Hardware, detect
from lora_trainer.model.load import bitsandbytes_config, load_options
from lora_trainer.planning.micro_batch import MemoryPlan, divisor_at_most, evaluation_tokens, plan_memory
from lora_trainer.processes import restart
from lora_trainer.processes.rank import Place
from lora_trainer.train import history
from lora_trainer.train.arguments import training_arguments

CPU = Hardware(torch.device("cpu"), torch.float32)


def batches(
    count: int, micro: int, *, epoch: int = 0, lengths: Any = None, place: Place | None = None
) -> list[list[int]]:
    sampler = EffectiveBatches(
        count, effective_batch_size=8, micro_batch_size=micro, seed=3, lengths=lengths, place=place
    )
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(sampler) == len(found)
    return found


def flat(micro_batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(micro_batches))


def test_every_row_comes_once_an_epoch_and_epochs_differ() -> None:
    first, second = batches(30, 4), batches(30, 4, epoch=1)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(30))
    assert first != second


@pytest.mark.parametrize("micro", [1, 2, 4, 8])
def test_the_rows_of_an_effective_batch_do_not_depend_on_the_micro_batch(micro: int) -> None:
    assert flat(batches(30, micro)) == flat(batches(30, 8))


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("count", [8, 30, 33])
def test_processes_share_each_effective_batch_and_every_row_comes_once(processes: int, count: int) -> None:
    shares = [batches(count, 1, place=Place(rank, processes)) for rank in range(processes)]
    # every process makes the same number of micro batches, also where it has no row
    assert len({len(share) for share in shares}) == 1
    # Together they go through the rows of one process, effective batch by effective batch
    alone = batches(count, 8)
    for number, whole in enumerate(alone):
        part = slice(number * 8 // processes, (number + 1) * 8 // processes)
        assert sorted(flat([flat(share[part]) for share in shares])) == sorted(whole)


def test_a_process_without_a_row_gets_an_empty_batch() -> None:
    shares = [batches(9, 4, place=Place(rank, 2)) for rank in range(2)]
    assert [len(share[-1]) for share in shares] == [1, 0]


def test_sorted_rows_are_of_like_length_in_all_processes() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 8)
    first, second = (batches(8, 4, lengths=lengths, place=Place(rank, 2)) for rank in range(2))
    ordered = sorted(lengths, reverse=True)
    assert [lengths[i] for i in first[0]] == ordered[0::2]
    assert [lengths[i] for i in second[0]] == ordered[1::2]


def test_padded_rows_are_sorted_within_their_effective_batch_only() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 32)
    plain, grouped = batches(32, 8), batches(32, 8, lengths=lengths)
    for mine, other in zip(grouped, plain, strict=True):
        assert sorted(mine) == sorted(other)
        assert [lengths[i] for i in mine] == sorted((lengths[i] for i in mine), reverse=True)


def test_a_loader_takes_up_the_epoch_also_after_batches_were_skipped() -> None:
    from accelerate.data_loader import skip_first_batches  # noqa: PLC0415

    sampler = EffectiveBatches(20, effective_batch_size=8, micro_batch_size=4, seed=0)
    loader = EpochLoader(list(range(20)), batch_sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
    loader.set_epoch(2)
    whole = list(loader)
    assert list(skip_first_batches(loader, 3)) == whole[3:]


def test_rows_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"input_ids": [5, 6, 7], "targets": [False, False, True], "length": 3, "prompt_ids": [5, 6], "reference": "a"},
        {"input_ids": [8, 9], "targets": [False, True], "length": 2, "prompt_ids": [8], "reference": "b"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, TEST_SCHEMA), tmp_path / "test.parquet", row_group_size=1)
    found = Rows(tmp_path / "test.parquet")
    assert len(found) == 2
    assert [found[i].input_ids.tolist() for i in range(2)] == [[5, 6, 7], [8, 9]]
    assert [found[i].targets.tolist() for i in range(2)] == [[False, False, True], [False, True]]
    assert found.prompts == [[5, 6], [8]]
    assert found.references == ["a", "b"]
    assert found.lengths.tolist() == [3, 2]


LLAMA_8B = SimpleNamespace(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32)
GIB = 1 << 30


def plan(free: float, **changes: Any) -> MemoryPlan:
    longest = changes.pop("longest", 2048)
    options: dict[str, Any] = {"effective_batch_size": 32, "wanted": None, "is_cuda": True} | changes
    return plan_memory(LLAMA_8B, free_bytes=int(free * GIB), pass_tokens=lambda rows: rows * longest, **options)


def test_a_large_gpu_keeps_activations_and_a_small_one_computes_them_again() -> None:
    large, small = plan(70, longest=512), plan(8, longest=512)
    assert not large.activation_checkpointing
    assert small.activation_checkpointing
    assert large.micro_batch_size >= 4
    assert small.micro_batch_size >= 1


def test_the_micro_batch_divides_the_effective_batch() -> None:
    for effective in (1, 6, 7, 12, 30):
        for free in (2, 10, 40, 80):
            assert effective % plan(free, effective_batch_size=effective).micro_batch_size == 0
    assert divisor_at_most(30, 8) == 6


def test_a_pass_is_no_larger_than_keeps_a_gpu_busy_and_evaluations_take_no_more_rows() -> None:
    found = plan(1000, longest=4096)
    assert found == MemoryPlan(4, False)
    assert evaluation_tokens(found, 4096) == 16384
    assert evaluation_tokens(MemoryPlan(1, True), 4096) == 4096
    assert plan(1000, longest=100_000) == MemoryPlan(1, False)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [5, 24, 31])
def test_the_largest_micro_batch_is_found_without_making_any(processes: int, count: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 100, count)
    seen = []
    for rank in range(processes):
        sampler = EffectiveBatches(
            count, effective_batch_size=12, micro_batch_size=2, seed=4, place=Place(rank, processes)
        )
        for epoch in range(3):
            sampler.set_epoch(epoch)
            seen += [int(lengths[batch].sum()) for batch in sampler if batch]
    assert sampler.largest(lengths, 3) == max(seen)


def test_a_micro_batch_that_the_user_states_is_taken() -> None:
    assert plan(2, wanted=16).micro_batch_size == 16


def test_out_of_memory_halves_and_stays_a_divisor() -> None:
    training = TrainingSpec(max_steps=1, effective_batch_size=12)
    assert restart.halved(12, training).size == 6
    assert restart.halved(6, training).size == 3
    assert restart.halved(3, training).size == 1


def test_out_of_memory_divides_the_share_of_a_process() -> None:
    training = TrainingSpec(max_steps=1, effective_batch_size=20)
    assert restart.halved(5, training, processes=4).size == 1


def test_the_history_has_one_entry_a_step_and_the_last_figures_count() -> None:
    log = [
        {"step": 1, "loss": 3.0, "epoch": 0.1},
        {"step": 2, "loss": 2.0},
        {"step": 2, "eval_loss": 2.5},
        {"step": 2, "loss": 1.9},
        {"step": 2, "train_runtime": 5.0},
    ]
    assert history.by_step(log) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.9, "eval_loss": 2.5}]
    assert history.last(history.by_step(log), "eval_loss") == 2.5
    assert [point.step for point in islice(history.curves(history.by_step(log), 2).train_loss, 5)] == [1, 2]


def arguments_for(hardware: Hardware, *, checkpointing: bool = False) -> Any:
    return training_arguments(
        TrainingSpec(max_steps=10),
        total_steps=10,
        memory=MemoryPlan(4, checkpointing),
        hardware=hardware,
        evaluate=True,
        folder=Path("/tmp/unused"),
    )


def test_the_callback_of_transformers_for_kubeflow_stays_out_of_our_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    # It answers to the same variables, and says 100 % at the end of a pod that was only stopped.
    for name in (ENV_PROGRESS_URL, ENV_PROGRESS_TOKEN, ENV_PROGRESS_CA):
        monkeypatch.setenv(name, "https://operator.example")
    assert arguments_for(Hardware(torch.device("cpu"), torch.float32)).report_to == []


@pytest.mark.parametrize(
    ("cuda", "bfloat16", "dtype"), [(False, False, torch.float32), (False, True, torch.bfloat16),
                                    (True, True, torch.bfloat16), (True, False, torch.float16)],
)  # fmt: skip
def test_the_number_format_follows_the_hardware(
    cuda: bool, bfloat16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_ALLOW_CPU, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bfloat16})
    assert detect(1).dtype is dtype


def test_float32_can_be_asked_for_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert detect(0).dtype is torch.bfloat16
    monkeypatch.setenv(ENV_CPU_FLOAT32, "1")
    assert detect(0).dtype is torch.float32


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    # Two processes in a pod with two GPUs: each loads the model on its own
    hardware = [detect(2, Place(rank, 2, rank, 2)) for rank in range(2)]
    assert [load_options(QuantizationSpec(), each, expanded=False)["device_map"][""] for each in hardware] == [0, 1]
    # A third one is refused
    with pytest.raises(TrainerError, match="CUDA finds 2") as failure:
        detect(3, Place(2, 3, 2, 3))
    assert failure.value.exit_code == ExitCode.UNSUPPORTED


def test_the_4_bit_computation_is_in_the_models_format() -> None:
    config = bitsandbytes_config(QuantizationSpec(), Hardware(torch.device("cuda", 0), torch.bfloat16))
    assert config.bnb_4bit_compute_dtype is torch.bfloat16
    assert config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_use_double_quant


def test_the_model_is_on_one_device() -> None:
    options = load_options(QuantizationSpec(), Hardware(torch.device("cuda", 0), torch.bfloat16), expanded=False)
    assert options["device_map"] == {"": 0}
    assert options["dtype"] is torch.bfloat16


def test_checkpointing_is_not_reentrant() -> None:
    arguments = arguments_for(CPU, checkpointing=True)
    assert arguments.activation_checkpointing
    assert arguments.activation_checkpointing_kwargs == {"use_reentrant": False}


def test_nothing_is_reported_to_third_parties() -> None:
    assert arguments_for(CPU).report_to == []
