from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.spec import ComputeSpec
from lora_trainer import parallelism
from lora_trainer.errors import TrainerError


def test_several_nodes_are_refused_in_words() -> None:
    with pytest.raises(TrainerError) as failure:
        parallelism.check(ComputeSpec(nodes=2))

    assert failure.value.exit_code == ExitCode.UNSUPPORTED
    assert failure.value.param == "spec.compute.nodes"
    assert "not supported yet" in failure.value.message


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_any_number_of_gpus_on_one_node_is_fine(gpus: int) -> None:
    parallelism.check(ComputeSpec(gpus=gpus))
