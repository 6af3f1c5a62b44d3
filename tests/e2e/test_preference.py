"""The examples of preference tuning and of going on from an adapter on a real node."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from lora_demo import up
from lora_demo.platform import manifest
from lora_demo.run import is_complete
from support import e2e
from support.e2e import Rig

pytestmark = pytest.mark.learning


def test_a_small_model_learns_to_prefer_polite_answers(rig: Rig) -> None:
    # The example and its data are there
    spec = _example("preference.yaml")
    _upload(rig, spec, up.data_generator("preference_data.py").rows(400, 7))
    # It is applied
    run = rig.create("polite", spec)
    status = run.wait_finished(e2e.TRAINED_SECONDS)
    # Of nearly all held-out pairs it prefers the polite answer, where the base model hardly knows which that is
    assert is_complete(status), status.error
    assert status.metrics is not None
    base, adapter = status.metrics.base_preferences, status.metrics.preferences
    assert base is not None
    assert base.accuracy is not None
    assert adapter is not None
    assert adapter.accuracy is not None
    assert 0.3 < float(base.accuracy) < 0.7
    assert float(adapter.accuracy) > 0.95


def test_two_manifests_that_are_applied_together_are_a_pipeline(rig: Rig) -> None:
    # Notes, and newer notes
    parent, child = _example("quickstart.yaml"), _example("going-on.yaml")
    generator = up.data_generator("triage_data.py")
    _upload(rig, parent, generator.rows(400, 7))
    _upload(rig, child, generator.rows(400, 8))
    # The run that goes on is applied first
    going_on = rig.create("triage-more", child)
    first = rig.create("triage", parent)
    status = going_on.wait_finished(2 * e2e.TRAINED_SECONDS)
    # It waited for the other one, began with its adapter, and is no worse on newer notes
    assert is_complete(status), status.error
    published = first.status()
    assert is_complete(published), published.error
    assert status.parent is not None
    assert published.artifact is not None
    assert (status.parent.run, status.parent.uri) == ("triage", published.artifact.uri)
    assert status.metrics is not None
    assert status.metrics.test_loss is not None
    assert status.metrics.parent_test_loss is not None
    assert float(status.metrics.test_loss) <= float(status.metrics.parent_test_loss)


def _example(name: str) -> dict[str, Any]:
    """The spec of an example; what it leaves out of the small recipe is left out here."""
    spec: dict[str, Any] = yaml.safe_load(manifest(name).read_text())["spec"]
    spec["dataset"].setdefault("systemPrompt", None)
    return spec | {"output": {"uri": "s3://adapters/e2e/"}}


def _upload(rig: Rig, spec: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Put rows where a spec looks for them."""
    rig.put(spec["dataset"]["uri"], "".join(json.dumps(row) + "\n" for row in rows))
