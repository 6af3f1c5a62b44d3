"""What each command of `kubectl lora` prints, as docs/kubectl-lora.md shows it.

`python -m support.cli_page` (with tests and the product on the path; `make docs-cli`) writes the page.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_contract.names import ENV_S3_ENDPOINT
from support.cli import Plugin, Said
from support.cli_demo import BASE, BASE_MANIFEST, demo
from support.cli_published import metrics, publish
from support.stub_cluster import StubCluster, serving

PAGE = Path(__file__).parents[2] / "docs" / "kubectl-lora.md"
_PLACE = re.compile(r"(```console\n)\$ (?P<command>kubectl lora [^\n]+)\n.*?(```)", re.DOTALL)
_FILE = """apiVersion: lora-operator.dev/v1alpha1
kind: LoRAFineTune
metadata: {name: triage}
spec:
  model: {id: microsoft/Phi-4-mini-instruct, revision: 5a149550068a1eb93398160d8953f5f56c3603e9}
  dataset: {uri: s3://datasets/triage.jsonl}
  training: {max_steps: 100}
  output: {uri: s3://adapters/team-a/}
"""


def with_transcripts(page: str, call: Callable[..., Said]) -> str:
    """The page with what its commands print now; `call` runs one."""

    def transcript(found: re.Match[str]) -> str:
        command = found["command"]
        said = call(*_words(command.partition(" #")[0]))
        return f"{found[1]}$ {command}\n{said.err}{said.out}{found[3]}"

    return _PLACE.sub(transcript, page)


def current() -> str:
    """The page as it should be: its words, and the transcripts of the demo."""
    before = Path.cwd()
    with serving(demo()) as cluster, tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        plugin = Plugin(patch, cluster.write_kubeconfig(Path(home) / "kubeconfig"))
        _publish(cluster, patch)
        os.chdir(home)
        Path("finetune.yaml").write_text(_FILE, encoding="utf-8")
        try:
            return with_transcripts(PAGE.read_text(encoding="utf-8"), plugin)
        finally:
            os.chdir(before)


def _words(command: str) -> list[str]:
    return command.split()[2:]


def _publish(cluster: StubCluster, patch: pytest.MonkeyPatch) -> None:
    """Let the demo's adapter lie in S3, with small files."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        patch.setenv(name, value)
    files = {
        "adapter_config.json": b"{}" * 400,
        "adapter_model.safetensors": b"w" * 3_565_158,
        "metrics.jsonl": metrics(24, 0.0059),
        "report.html": b"r" * 81_000,
    }
    run = next(run for run in cluster.runs if run["metadata"]["name"] == "triage")
    artifact = run["status"]["artifact"]
    publish(cluster, artifact, files)
    for other in cluster.runs:
        if (parent := other["status"].get("parent", {})).get("run") == "triage":
            parent["manifestDigest"] = artifact["manifestDigest"]
    patch.setenv(ENV_S3_ENDPOINT, cluster.url)
    cluster.objects[f"{BASE.removeprefix('s3:/')}/manifest.json"] = BASE_MANIFEST


if __name__ == "__main__":
    wanted = current()
    if "--check" in sys.argv and PAGE.read_text(encoding="utf-8") != wanted:
        sys.exit(f"{PAGE} is not current: make docs-cli")
    PAGE.write_text(wanted, encoding="utf-8")
