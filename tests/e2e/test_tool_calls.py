"""The example of tool calls on a real node: a small model learns to call three functions."""

from __future__ import annotations

import json

import pytest
import yaml

from lora_contract.status import LoRAFineTuneStatus, ToolCallsStatus
from lora_demo import up
from lora_demo.platform import manifest
from lora_demo.run import is_complete
from support import e2e
from support.e2e import Rig

pytestmark = pytest.mark.learning


def test_a_small_model_learns_to_call_three_functions(rig: Rig) -> None:
    # The example and its data are there
    spec = yaml.safe_load(manifest("tools.yaml").read_text())["spec"]
    rows = up.data_generator("tools_data.py").rows(400, 7)
    rig.put(spec["dataset"]["uri"], "".join(json.dumps(row) + "\n" for row in rows))
    # It is applied
    spec["dataset"]["systemPrompt"] = None  # the small recipe's
    run = rig.create("tools", spec | {"output": {"uri": "s3://adapters/e2e/"}})
    status = run.wait_finished(e2e.TRAINED_SECONDS)
    # Nearly all of its calls on held-out rows are right, where the base model made hardly any
    assert is_complete(status), status.error
    base, adapter = _counts(status)
    assert base.rows == adapter.rows == spec["evaluation"]["samples"]
    assert base.right_calls <= 0.1 * base.wanted
    assert adapter.right_rows > 0.9 * adapter.rows


def _counts(status: LoRAFineTuneStatus) -> tuple[ToolCallsStatus, ToolCallsStatus]:
    """Counts of base and adapter."""
    assert status.metrics is not None
    assert status.metrics.base_tool_calls is not None
    assert status.metrics.tool_calls is not None
    return status.metrics.base_tool_calls, status.metrics.tool_calls
