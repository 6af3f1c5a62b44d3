"""Figures in manifest.json are numbers, and a manifest that was published with texts is read as before."""

from __future__ import annotations

import json
from typing import Any

from lora_contract.serving import ServingStatus
from lora_contract.status import MetricsStatus
from lora_trainer.digests import FileDigest
from lora_trainer.publish import Manifest

METRICS = MetricsStatus.model_validate(
    {
        "testLoss": "0.00972377",
        "bestEvalLoss": "1",
        "bestStep": 40,
        "toolCalls": {"share": "0.75", "rows": 4, "rightRows": 3},
        "sources": [{"name": "1e3", "evalLoss": "0.5"}],
    }
)


def manifest(**changes: Any) -> Manifest:
    return Manifest(
        run_id="a" * 32,
        spec_hash="b" * 64,
        base_model="org/base",
        model_commit="c" * 40,
        dataset_digest="d" * 64,
        required_max_lora_rank=16,
        created_at="2026-01-01T00:00:00Z",
        files={"adapter_model.safetensors": FileDigest(sha256="e" * 64, size=7)},
        **changes,
    )


def test_figures_are_numbers_and_names_are_texts() -> None:
    written = json.loads(manifest(metrics=METRICS).encoded())["metrics"]

    assert (written["testLoss"], written["bestEvalLoss"], written["bestStep"]) == (0.00972377, 1.0, 40)
    assert written["toolCalls"]["share"] == 0.75
    assert written["sources"][0] | {} == {"name": "1e3", "evalLoss": 0.5}


def test_what_is_written_is_read_back() -> None:
    before = manifest(metrics=METRICS)

    assert Manifest.model_validate_json(before.encoded()) == before


def test_a_manifest_with_texts_as_earlier_versions_wrote_them_is_read() -> None:
    document = json.loads(manifest(metrics=METRICS).encoded())
    document["metrics"] = METRICS.dump()
    assert document["metrics"]["testLoss"] == "0.00972377"

    assert Manifest.model_validate_json(json.dumps(document)).metrics == METRICS


def test_the_table_of_servers_goes_from_the_manifest_to_the_status() -> None:
    serving = [ServingStatus(server="vLLM", loads="Yes", advice="--enable-lora")]
    written = manifest(serving=serving)

    read = Manifest.model_validate_json(written.encoded())

    assert read.artifact("s3://bucket/a", written.encoded()).serving == serving
    assert manifest().artifact("s3://bucket/a", b"").serving is None


def test_a_manifest_without_figures_has_none() -> None:
    written = manifest().encoded()

    assert "metrics" not in json.loads(written)
    assert Manifest.model_validate_json(written).metrics is None
