"""Good specs, each a change to the least that is needed."""

from __future__ import annotations

import copy
from typing import Any

#: In a change: take the field away.
REMOVED = object()

#: A dataset of two sources with shares.
SHARES: dict[str, Any] = {
    "sources": [
        {"name": "b", "uri": "s3://datasets/b", "share": 0.25},
        {"name": "a", "uri": "s3://datasets/a", "share": 0.75},
    ]
}

BASE: dict[str, Any] = {
    "model": {"id": "microsoft/Phi-4-mini-instruct", "revision": "5a149550068a1eb93398160d8953f5f56c3603e9"},
    "dataset": {"uri": "s3://datasets/triage.jsonl"},
    "training": {"maxSteps": 100},
    "output": {"uri": "s3://adapters/team-a/"},
}


def changed(changes: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, Any]:
    """A spec with fields set (`"lora.r": 0`) or taken away (`REMOVED`); parts on the way are made."""
    spec = copy.deepcopy(BASE if base is None else base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = spec
        for name in parents:
            part = part.setdefault(name, {})
        if value is REMOVED:
            del part[last]
        else:
            part[last] = value
    return spec


GOOD_SPECS: dict[str, dict[str, Any]] = {
    "the least that is needed": {},
    "floating revision": {"model.revision": REMOVED, "model.allowFloatingRevision": True},
    "floating branch": {"model.revision": "refs/pr/12", "model.allowFloatingRevision": True},
    "mirror instead of the Hub": {"model.revision": REMOVED, "model.source": "s3://models/phi-4-mini/"},
    "mirror without slash": {"model.source": "s3://models/phi"},
    "model without owner": {"model.id": "gpt2"},
    "gated model": {"model.tokenSecretName": "hf-token"},
    "cached model": {"model.cache": {"claimName": "model-cache"}},
    "dataset is a bucket": {"dataset.uri": "s3://datasets"},
    "dataset is a prefix": {"dataset.uri": "s3://datasets/triage/"},
    "dataset key with signs": {"dataset.uri": "s3://datasets/day=2026-01-31/part (1),a+b@c.jsonl"},
    "dataset key in any language": {"dataset.uri": "s3://datasets/データ/Übung 100% #1?.jsonl"},
    "bucket with dots": {"dataset.uri": "s3://my.data.sets/a"},
    "sibling with the same beginning": {"dataset.uri": "s3://data/run1", "output.uri": "s3://data/run10"},
    "dataset with three dots": {"dataset.uri": "s3://datasets/.../a"},
    "messages": {"dataset.format": "messages"},
    "prompt and completion": {"dataset.format": "prompt-completion"},
    "instruction": {"dataset.format": "instruction", "dataset.columns": {"prompt": "q", "completion": "a"}},
    "columns in any language": {"dataset.columns": {"prompt": "Frage", "completion": "Antwört"}},
    "system prompt": {"dataset.systemPrompt": "You are a triage nurse.\nAnswer in JSON."},
    "own splits": {"dataset.validationUri": "s3://datasets/v.jsonl", "dataset.testUri": "s3://datasets/t.jsonl"},
    "no held-out rows": {"dataset.split": {"validation": 0, "test": 0}},
    "largest split": {"dataset.split": {"validation": 0.49, "test": 0.5}},
    "skip bad rows": {"dataset.onBadRows": "Skip", "dataset.maxBadRows": 0},
    "data on the Hub": {"dataset.uri": f"hf://datasets/org/name@{'a' * 40}"},
    "a split on the Hub": {"dataset.testUri": f"hf://datasets/name@{'a' * 40}/config/test"},
    "data on a volume": {
        "dataset.uri": "pvc://team.data/triage/rows.jsonl",
        "dataset.validationUri": "pvc://team.data",
    },
    "sources": {"dataset": {"sources": [{"name": "a", "uri": "s3://datasets/a", "repeats": 3}]}},
    "sources with shares": {"dataset": SHARES, "evaluation.gate": {"maxForgettingRatio": 1.1, "forgettingSource": "b"}},
    "sources with shares that nearly add up": {
        "dataset.uri": REMOVED,
        "dataset.sources": [{"name": n, "uri": f"s3://datasets/{n}", "share": 0.333} for n in ("a", "b", "c")],
    },
    "a source with a format of its own": {
        "dataset": {
            "systemPrompt": "You are a nurse.",
            "sources": [
                {"name": "pages", "uri": "s3://datasets/pages", "format": "text", "columns": {"text": "page"}},
                {"name": "chats", "uri": "s3://datasets/chats"},
            ],
        }
    },
    "going on from an adapter": {"from": {"adapter": "s3://adapters/team-a/triage/0123"}},
    "going on from a run": {"from": {"run": "triage-base"}, "evaluation.gate.maxLossRatioToParent": 1.0},
    "preferences": {"method": {"dpo": {}}, "evaluation.gate.minPreferenceAccuracy": 0.9},
    "preferences with settings": {"method": {"dpo": {"beta": 0.05, "sftWeight": 0.2, "lengthNormalised": True}}},
    "preferences with columns": {
        "method": {"dpo": {"beta": 1}},
        "dataset.columns": {"chosen": "better", "rejected": "worse"},
        "evaluation.gate": {"minExactMatch": 0.5},
    },
    "answers with labels": {
        "method": {"kto": {"beta": 0.1, "desirableWeight": 1, "undesirableWeight": 1.5}},
        "dataset": {"sources": [{"name": "a", "uri": "s3://datasets/a", "format": "auto"}]},
        "training.trainOn": "last",
    },
    "fp4": {"quantization": {"type": "fp4", "doubleQuant": False}},
    "int8 on a GPU": {"quantization.type": "int8"},
    "full precision on the CPU": {"quantization.type": "none", "compute.gpus": 0},
    "named modules": {"lora.targetModules": ["q_proj", "v_proj", "model.layers.0.mlp.up_proj"]},
    "rank 512 and rslora": {"lora": {"r": 512, "alpha": 1, "dropout": 0, "useRslora": True}},
    "epochs": {"training": {"epochs": 3}},
    "half an epoch": {"training": {"epochs": 0.5}},
    "whole epochs with a point": {"training": {"epochs": 1.0}},
    "micro batch": {"training.microBatchSize": 8},
    "long rows": {"training.maxLength": 131072},
    "small learning rate": {"training.learningRate": 1e-7},
    "no clipping": {"training.maxGradNorm": 0},
    "constant schedule": {"training.schedule": "constant", "training.warmupRatio": 0},
    "all tokens": {"training.trainOn": "all"},
    "the last answer": {"training.trainOn": "last", "dataset.ignoreKeys": ["annotations", "Größe"]},
    "arguments of the template": {"chat.templateArgs": {"enable_thinking": "false", "reasoning_effort": "high"}},
    "own chat template": {"chat.template": "{% for m in messages %}{{ m.content }}{% endfor %}"},
    "own chat template at an address": {"chat.templateUri": "s3://models/chat.jinja"},
    "early stopping": {"training.earlyStopping": {}},
    "early stopping on own rows": {
        "training.earlyStopping": {"patience": 1, "minDelta": 0.001},
        "dataset.split.validation": 0,
        "dataset.validationUri": "s3://datasets/v.jsonl",
    },
    "gates": {
        "evaluation.gate": {"maxLossRatio": 0.98, "maxForgettingRatio": 1.2, "minJsonFields": 0.9, "minToolCalls": 0.9}
    },
    "no comparison": {"evaluation": {"compareWithBase": False, "samples": 0}},
    "credentials in a Secret": {"storage.secretName": "s3-credentials"},
    "identity of an account": {"storage.serviceAccountName": "trainer.team-a"},
    "endpoint": {"storage.endpoint": "http://seaweedfs.storage.svc:8333"},
    "several GPUs on several nodes": {"compute": {"gpus": 8, "nodes": 2}},
    "other accelerator": {"compute.resourceName": "amd.com/gpu"},
    "millicores and fractions": {"compute": {"cpu": "1500m", "memory": "1.5Gi"}},
    "fraction of a core": {"compute.cpu": "0.5"},
    "a number of cores without quotes": {"compute.cpu": 4},
    "limits of CPU": {"compute": {"cpu": "0.3", "cpuLimit": "300m"}},
    "limits of CPU without quotes": {"compute": {"cpu": 4, "cpuLimit": 8}},
    "memory in bytes": {"compute.memory": 34359738368},
    "memory in bytes as text": {"compute.memory": "34359738368"},
    "memory as a power": {"compute.memory": "32e9"},
    "memory in thousandths": {"compute.memory": "34359738368000m"},
    "signs and points": {"compute": {"cpu": "+.5", "memory": "4.Gi"}},
    "node selector": {"compute.nodeSelector": {"nvidia.com/gpu.product": "A100", "pool": ""}},
    "tolerations": {
        "compute.tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team", "value": "a"},
            {"key": "spot", "operator": "Exists", "value": "", "effect": "NoExecute", "tolerationSeconds": 0},
            {"key": "sla", "operator": "Gt", "value": "950", "effect": "NoSchedule"},
        ]
    },
    "queue with dots": {"scheduling.queueName": "team-a.research.example"},
    "queue": {"scheduling": {"queueName": "team-a", "priorityClass": "normal", "maxExecutionSeconds": 86400}},
    "suspended from the start": {"suspend": True},
    "run token": {"runToken": "2026-01-31.b"},
    "no retries": {"retries": 0, "ttlSecondsAfterFinished": 0},
    "may be edited": {"updatePolicy": "Rerun"},
}
