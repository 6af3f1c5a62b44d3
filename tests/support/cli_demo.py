"""A small cluster in the middle of its day, for tests and for the page about the command line."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from lora_contract import names
from lora_contract.times import format_time
from support.cli_sweep import sweep
from support.specs import changed
from support.stub_cluster import StubCluster

NOW = datetime(2026, 3, 2, 14, 30, 0, tzinfo=UTC)
_COMMIT = "5a149550068a1eb93398160d8953f5f56c3603e9"
_IDENTITY = "2d5658b126f01b81e5403dd84286bc18"
_DEFAULTS = {"lora.r": 16, "lora.alpha": 32, "training.learningRate": 0.0002, "compute.gpus": 1, "compute.nodes": 1}


def ago(seconds: float) -> str:
    """A time before `NOW`, as the API writes it."""
    return format_time(NOW - timedelta(seconds=seconds))


def condition(kind: str, status: str, reason: str, message: str = "", since: float = 60) -> dict[str, Any]:
    """A condition of a status."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(since),
        "observedGeneration": 1,
    }


def run(
    name: str, status: dict[str, Any], *, namespace: str = "team-a", age: float = 600, **changes: Any
) -> dict[str, Any]:
    """A LoRAFineTune as the API server has it; paths of changes are written with `__` for the dot."""
    spec = changed(_DEFAULTS | {path.replace("__", "."): value for path, value in changes.items()})
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": ago(age)},
        "spec": spec,
        "status": status,
    }


PLAN = {
    "rows": 363,
    "tokens": 28131,
    "totalSteps": 24,
    "validationRows": 45,
    "testRows": 45,
    "duplicateRows": 3,
    "datasetDigest": "d" * 64,
    "modelCommit": _COMMIT,
}


#: The adapter that the run `triage` goes on from; its own run was deleted.
BASE = "s3://adapters/team-a/triage-base/7b0e1d55c3f94d2a8f6f0f7f5d1c2b3a"
BASE_MANIFEST = json.dumps(
    {
        "files": {"adapter_model.safetensors": {"sha256": "e" * 64, "size": 3_565_158}},
        "metrics": {"testLoss": "0.0341"},
        "ancestors": [
            {
                "uri": "s3://adapters/team-a/letters/0f3a5a1e2c9b4d7f8e6d5c4b3a291807",
                "manifestDigest": "4f" * 32,
                "runId": "0f3a5a1e2c9b4d7f8e6d5c4b3a291807",
                "datasetDigest": "f" * 64,
                "createdAt": "2026-01-12T09:00:00Z",
            }
        ],
    }
).encode()


def running() -> dict[str, Any]:
    """A run in the middle of its training, on its second pod: the first one's node was lost."""
    status = {
        "phase": "Running",
        "runId": "9c1f" * 8,
        "startTime": ago(900),
        "parent": {
            "run": "triage",
            "uri": f"s3://adapters/team-a/triage/{_IDENTITY}",
            "manifestDigest": "ab" * 32,
        },
        "plan": PLAN,
        "progress": {
            "step": 12,
            "totalSteps": 24,
            "percent": 50,
            "summary": "12/24 (50%)",
            "etaSeconds": 154,
            "eta": "2m34s",
            "tokensPerSecond": 12177,
        },
        "metrics": {"trainLoss": "0.0425413", "evalLoss": "0.0511", "bestEvalLoss": "0.0511", "bestStep": 10},
        "usage": {"stagingSeconds": 11, "queueSeconds": 190, "trainSeconds": 320, "gpuSeconds": 320, "lostSteps": 2},
        "attempts": [
            {
                "pod": "triage-v2-train-1f0c2d3e-0-k2v7p",
                "stage": "train",
                "node": "gpu-node-1",
                "startTime": ago(690),
                "endTime": ago(370),
                "reason": "NodeLost",
                "fromStep": 0,
                "lastStep": 7,
            },
            {
                "pod": "triage-v2-train-1f0c2d3e-0-9xw4m",
                "stage": "train",
                "node": "gpu-node-2",
                "startTime": ago(170),
                "fromStep": 5,
                "lastStep": 12,
            },
        ],
        "conditions": [
            condition("Accepted", "True", "SpecAccepted", "The spec can be run on this platform.", 900),
            condition("Ready", "False", "Training", "Step 12 of 24.", 170),
        ],
    }
    return run("triage-v2", status, age=900, lora__r=32, training__learningRate=0.0001)


def complete() -> dict[str, Any]:
    """A run with a published adapter."""
    prefix = f"s3://adapters/team-a/triage/{_IDENTITY}"
    status = {
        "phase": "Complete",
        "runId": _IDENTITY,
        "startTime": ago(7800),
        "parent": {"uri": BASE, "manifestDigest": hashlib.sha256(BASE_MANIFEST).hexdigest()},
        "completionTime": ago(7320),
        "plan": PLAN,
        "progress": {"step": 24, "totalSteps": 24, "percent": 100, "tokensPerSecond": 11820},
        "metrics": {
            "trainLoss": "0.00972377",
            "evalLoss": "0.0071",
            "bestEvalLoss": "0.0068",
            "bestStep": 20,
            "baseTestLoss": "2.41238",
            "testLoss": "0.0059369",
            "baseGeneralLoss": "3.15882",
            "generalLoss": "3.33457",
            "baseJsonFields": "0",
            "jsonFields": "0.956",
        },
        "usage": {
            "stagingSeconds": 9,
            "queueSeconds": 41,
            "trainSeconds": 430,
            "gpuSeconds": 430,
            "gpuIdleSeconds": 61,
            "cost": "0.3583",
            "currency": "EUR",
        },
        "artifact": {
            "uri": prefix,
            "manifestDigest": "ab" * 32,
            "sizeBytes": 24_536_112,
            "baseModel": "microsoft/Phi-4-mini-instruct",
            "requiredMaxLoraRank": 16,
            "reportUri": f"{prefix}/report.html",
            "serving": [
                {"server": "vLLM", "loads": "Yes", "advice": "--enable-lora"},
                {
                    "server": "Ollama",
                    "loads": "No",
                    "advice": "it imports adapters for Llama, Mistral and Gemma 2 alone",
                },
            ],
        },
        "conditions": [
            condition("Ready", "True", "AdapterPublished", f"The adapter is at {prefix}.", 7320),
            condition("Finished", "True", "AdapterPublished", since=7320),
            condition("Complete", "True", "AdapterPublished", since=7320),
        ],
    }
    return run("triage", status, age=7800)


def queued() -> dict[str, Any]:
    """A run that waits for quota."""
    status = {
        "phase": "Queued",
        "startTime": ago(3700),
        "plan": PLAN | {"datasetDigest": "e" * 64},
        "queue": {"localQueue": "team-b", "position": 3, "reason": "Pending", "since": ago(3600)},
        "usage": {"stagingSeconds": 12},
        "conditions": [condition("Ready", "False", "Queued", "couldn't assign flavors to pod set main", 3600)],
    }
    return run("summaries", status, namespace="team-b", age=3700, compute__gpus=4)


def failed() -> dict[str, Any]:
    """A run whose data is bad."""
    message = "malformed.jsonl, line 3: is not JSON: Expecting value at column 1"
    hint = "correct the row, or set dataset.onBadRows: Skip to leave bad rows out"
    status = {
        "phase": "Failed",
        "startTime": ago(260),
        "completionTime": ago(240),
        "error": {"code": "BadData", "message": message, "param": "malformed.jsonl:3", "hint": hint},
        "attempts": [
            {
                "pod": "broken-prepare-77aa01bc-0-x1x2x",
                "stage": "prepare",
                "node": "cpu-node-1",
                "startTime": ago(255),
                "endTime": ago(241),
                "reason": "BadData",
                "message": message,
                "exitCode": 65,
            }
        ],
        "conditions": [
            condition("Ready", "False", "BadData", message, 240),
            condition("Finished", "True", "BadData", message, 240),
            condition("Failed", "True", "BadData", message, 240),
        ],
    }
    return run("broken", status, age=260)


def event(about: str, uid: str, seconds: float, reason: str, message: str, *, kind: str = "Normal") -> dict[str, Any]:
    """An Event about a run."""
    return {
        "metadata": {"uid": uid, "creationTimestamp": ago(seconds)},
        "involvedObject": {"uid": f"uid-{about}"},
        "type": kind,
        "reason": reason,
        "message": message,
        "eventTime": ago(seconds),
    }


def pod(name: str, *, node: str, age: float, phase: str) -> dict[str, Any]:
    """A pod of a run, which its name tells, with the stage."""
    of, stage = re.fullmatch(r"(.+)-(prepare|train)-[0-9a-f]{8}-0-\w{5}", name).groups()  # type: ignore[union-attr]
    state = {"running": {}} if phase == "Running" else {"terminated": {}}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": ago(age),
            "labels": {names.LABEL_FINETUNE: of, names.LABEL_STAGE: stage},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "containerStatuses": [{"name": names.CONTAINER, "state": state}]},
    }


def demo() -> StubCluster:
    """Two namespaces with a run in each of the states that people look at."""
    return StubCluster(
        runs=[complete(), running(), failed(), queued()],
        sweeps=[sweep()],
        events=[
            event("triage-v2", "e1", 695, "Training", "The train pod runs on gpu-node-1."),
            event("triage-v2", "e2", 370, "NodeLost", "gpu-node-1 is gone; it goes on from step 5.", kind="Warning"),
            event("triage-v2", "e3", 170, "Training", "The train pod runs on gpu-node-2."),
        ],
        pods=[
            pod("triage-v2-prepare-1f0c2d3e-0-aaaaa", node="cpu-node-1", age=890, phase="Succeeded"),
            pod("triage-v2-train-1f0c2d3e-0-9xw4m", node="gpu-node-2", age=175, phase="Running"),
            pod("broken-prepare-77aa01bc-0-x1x2x", node="cpu-node-1", age=258, phase="Failed"),
        ],
        logs={
            "triage-v2-prepare-1f0c2d3e-0-aaaaa": "reading s3://datasets/triage.jsonl\n363 rows, 28,131 tokens\n",
            "triage-v2-train-1f0c2d3e-0-9xw4m": "going on from step 5\nstep 12, loss 0.0425\n",
            "broken-prepare-77aa01bc-0-x1x2x": (
                "reading s3://datasets/malformed.jsonl\n"
                "malformed.jsonl, line 3: is not JSON: Expecting value at column 1\n"
            ),
        },
    )
