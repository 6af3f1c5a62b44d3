from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.spec import ComputeSpec
from lora_trainer import parallelism
from lora_trainer.errors import TrainerError


@pytest.mark.parametrize("field", ["gpus", "nodes"])
def test_several_are_refused_in_words(field: str) -> None:
    with pytest.raises(TrainerError) as failure:
        parallelism.check(ComputeSpec.model_validate({field: 2}))

    assert failure.value.exit_code == ExitCode.UNSUPPORTED
    assert failure.value.param == f"spec.compute.{field}"
    assert "not supported yet" in failure.value.message


def test_one_or_none_is_fine() -> None:
    parallelism.check(ComputeSpec(gpus=0))
    parallelism.check(ComputeSpec(gpus=1))
