"""Each path that messages name is a field of the spec."""

from __future__ import annotations

from types import NoneType
from typing import get_args

import pytest

from lora_contract import spec_paths
from lora_contract.base import SpecModel
from lora_contract.finetune import LoRAFineTuneSpec

PATHS = {name: path for name, path in vars(spec_paths).items() if name.isupper()}


@pytest.mark.parametrize("path", PATHS.values())
def test_a_path_is_a_field(path: str) -> None:
    model: type[SpecModel] = LoRAFineTuneSpec
    for part in path.split(".")[1:]:
        info = next(info for name, info in model.model_fields.items() if (info.alias or name) == part)
        kinds = [kind for kind in get_args(info.annotation) or (info.annotation,) if kind is not NoneType]
        model = kinds[0] if isinstance(kinds[0], type) else model
