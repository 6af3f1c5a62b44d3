"""What importing the train stage must not load: seconds before the first step, a GPU idle."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from support.python_path import python_path

_SCRIPT = """
import gc, json, sys
from lora_trainer.command import quick_imports
collections = []
gc.callbacks.append(lambda phase, _: collections.append(phase))
with quick_imports.importing():
    import lora_trainer.train.stage
found = {"collections": len(collections), "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
import torch
found |= {"modules": sorted(sys.modules), "compiles": torch.compile.__module__ == "torch"}
print(json.dumps(found))
"""


def test_the_train_stage_is_imported_without_torchs_compiler_and_without_collecting_garbage() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    # bitsandbytes, which would load the compiler, is there; the compiler is not, and can be had afterwards
    assert "bitsandbytes" in found["modules"]
    assert "torch._inductor.compile_fx" not in found["modules"]
    assert found["compiles"]
    # No garbage was collected meanwhile, it is from now on, and the modules are left alone then
    assert found["collections"] == 0
    assert found["collects"]
    assert found["frozen"] > 100_000
