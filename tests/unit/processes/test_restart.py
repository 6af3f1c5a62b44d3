"""What follows when a forward pass does not fit into memory."""

from __future__ import annotations

from lora_contract.finetune import TrainingSpec
from lora_trainer.processes import restart


def test_out_of_memory_halves_and_stays_a_divisor() -> None:
    training = TrainingSpec(max_steps=1, effective_batch_size=12)
    assert restart.halved(12, training).size == 6
    assert restart.halved(6, training).size == 3
    assert restart.halved(3, training).size == 1


def test_out_of_memory_divides_the_share_of_a_process() -> None:
    training = TrainingSpec(max_steps=1, effective_batch_size=20)
    assert restart.halved(5, training, processes=4).size == 1
