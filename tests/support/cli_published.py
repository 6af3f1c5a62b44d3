"""Adapters in the S3 service beside the cluster that only answers."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from support.stub_cluster import StubCluster


def publish(cluster: StubCluster, artifact: dict[str, Any], files: dict[str, bytes]) -> None:
    """Put the files of an adapter, and the manifest that its status names, into S3."""
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    manifest = json.dumps({"version": 1, "files": entries}).encode()
    artifact["manifestDigest"] = hashlib.sha256(manifest).hexdigest()
    folder = artifact["uri"].removeprefix("s3:/")
    for name, data in (files | {"manifest.json": manifest}).items():
        cluster.objects[f"{folder}/{name}"] = data


def metrics(steps: int, end: float, *, start: float = 2.4) -> bytes:
    """A metrics.jsonl whose losses fall from one value to another, with an evaluation at every fifth step."""
    lines: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        loss = end + (start - end) * math.exp(-6 * step / steps)
        evaluation = {"eval_loss": 1.05 * loss} if step % 5 == 0 else {}
        lines.append({"step": step, "loss": loss, "learning_rate": 0.0002} | evaluation)
    return "".join(json.dumps(line) + "\n" for line in [*lines, {"final": {"testLoss": end}}]).encode()
