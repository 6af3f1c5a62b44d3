"""Bad specs: each is a change to a good one, with the words that its refusal must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.specs import REMOVED


@dataclass(frozen=True)
class BadSpec:
    """A spec that must be refused.

    `says` are fragments of the API server's message: the field, and what to do about it.
    """

    id: str
    changes: dict[str, Any]
    says: tuple[str, ...]


def bad(name: str, changes: dict[str, Any], *says: str) -> BadSpec:
    """A bad spec, shorter to write."""
    return BadSpec(name, changes, says)


BAD_SPECS = (
    # model
    bad("no model", {"model": REMOVED}, "spec.model", "Required value"),
    bad("no model id", {"model.id": REMOVED}, "spec.model.id", "Required value"),
    bad("empty model id", {"model.id": ""}, "spec.model.id", "must be a model name such as"),
    bad("model id is an address", {"model.id": "s3://models/phi"}, "spec.model.id", "set model.source"),
    bad("model id leaves its folder", {"model.id": "../etc/passwd"}, "spec.model.id", "must be a model name"),
    bad("model id too long", {"model.id": "a" * 201}, "spec.model.id", "Too long: may not be more than 200"),
    bad("revision is a branch", {"model.revision": "main"}, "spec.model", "or set model.allowFloatingRevision: true"),
    bad(
        "a branch of files in S3",
        {"model.revision": "main", "model.source": "s3://models/phi", "model.allowFloatingRevision": True},
        "model.revision beside model.source",
        "or leave it out",
    ),
    bad("revision is a path", {"model.revision": "../main"}, "spec.model.revision", "a branch or tag"),
    bad(
        "no revision", {"model.revision": REMOVED}, "spec.model", "or set model.source, or model.allowFloatingRevision"
    ),
    bad("source over http", {"model.source": "http://host/phi"}, "spec.model.source", "s3://bucket/key"),
    bad(
        "token secret is a path",
        {"model.tokenSecretName": "team-b/hf"},
        "spec.model.tokenSecretName",
        "name of an object",
    ),
    bad("cache without claim", {"model.cache": {}}, "spec.model.cache.claimName", "Required value"),
    bad("remote code", {"model.trustRemoteCode": True}, 'unknown field "spec.model.trustRemoteCode"'),
    # chat
    bad(
        "two templates",
        {"chat": {"template": "{{ x }}", "templateUri": "s3://models/chat.jinja"}},
        "spec.chat",
        "set at most one of chat.template and chat.templateUri",
    ),
    bad("an empty template", {"chat.template": ""}, "spec.chat.template"),
    bad(
        "no name of a variable", {"chat.templateArgs": {"enable-thinking": "no"}}, "spec.chat", "write letters, digits"
    ),
    bad("the server's own variable", {"chat.templateArgs": {"tools": "1"}}, "spec.chat", "servers give them to the"),
    bad("a value that is no text", {"chat.templateArgs": {"thinking": False}}, "spec.chat.templateArgs.thinking"),
    # dataset
    bad("no dataset", {"dataset": REMOVED}, "spec.dataset", "Required value"),
    bad("dataset over http", {"dataset.uri": "https://host/rows.jsonl"}, "spec.dataset.uri", "s3://bucket/key"),
    bad("dataset from a local file", {"dataset.uri": "/data/rows.jsonl"}, "spec.dataset.uri", "s3://bucket/key"),
    bad(
        "dataset with a query", {"dataset.uri": "s3://datasets/a?versionId=1"}, "spec.dataset.uri", "remove ?versionId="
    ),
    bad(
        "system prompt for documents",
        {"dataset.format": "text", "dataset.systemPrompt": "You are a nurse."},
        "spec.dataset",
        "dataset.systemPrompt has no place",
    ),
    bad("dataset climbs", {"dataset.uri": "s3://datasets/../secrets/a"}, "spec.dataset.uri", "write the full key"),
    bad("dataset ends in dots", {"dataset.uri": "s3://datasets/a/.."}, "spec.dataset.uri", "write the full key"),
    bad("dataset with empty segment", {"dataset.uri": "s3://datasets//a"}, "spec.dataset.uri", "empty segment"),
    bad("bucket of two letters", {"dataset.uri": "s3://ab/rows"}, "spec.dataset.uri", "3 to 63 characters"),
    bad("bucket look-alike", {"dataset.uri": "s3://d\u0430tasets/rows"}, "spec.dataset.uri", "s3://bucket/key"),
    bad("encoded dots", {"dataset.uri": "s3://datasets/%2e%2e/a"}, "spec.dataset.uri", "write the full key"),
    bad("line break at the end", {"dataset.uri": "s3://datasets/rows\n"}, "spec.dataset.uri", "line breaks"),
    bad("writing turned round", {"dataset.uri": "s3://datasets/a\u202eb"}, "spec.dataset.uri", "direction of writing"),
    bad(
        "validation rows climb",
        {"dataset.validationUri": "s3://datasets/./a"},
        "spec.dataset.validationUri",
        "full key",
    ),
    bad("unknown format", {"dataset.format": "alpaca"}, "spec.dataset.format", 'supported values: "auto"'),
    bad("unknown bad row policy", {"dataset.onBadRows": "skip"}, "spec.dataset.onBadRows", '"Fail", "Skip"'),
    bad(
        "nothing to train on",
        {"dataset.split": {"validation": 0.5, "test": 0.5}},
        "spec.dataset",
        "leave rows to train on",
    ),
    bad("split above half", {"dataset.split.test": 0.6}, "spec.dataset.split.test", "less than or equal to 0.5"),
    bad("system prompt too long", {"dataset.systemPrompt": "a" * 8193}, "spec.dataset.systemPrompt", "8192"),
    bad("empty column name", {"dataset.columns.prompt": ""}, "spec.dataset.columns.prompt", "at least 1 chars long"),
    # quantization and lora
    bad(
        "unknown quantization", {"quantization.type": "int4"}, "spec.quantization.type", '"nf4", "fp4", "int8", "none"'
    ),
    bad(
        "int8 on the CPU",
        {"quantization.type": "int8", "compute.gpus": 0},
        "spec",
        "use nf4 or none with compute.gpus: 0",
    ),
    bad("rank 0", {"lora.r": 0}, "spec.lora.r", "greater than or equal to 1"),
    bad("negative rank", {"lora.r": -1}, "spec.lora.r", "greater than or equal to 1"),
    bad("enormous rank", {"lora.r": 1_000_000_000}, "spec.lora.r", "less than or equal to 512"),
    bad("rank as text", {"lora.r": "16"}, "spec.lora.r", "must be of type integer"),
    bad("half a rank", {"lora.r": 1.5}, "spec.lora.r", "must be of type integer"),
    bad("alpha 0", {"lora.alpha": 0}, "spec.lora.alpha", "greater than or equal to 1"),
    bad("dropout above 1", {"lora.dropout": 1.5}, "spec.lora.dropout", "less than or equal to 0.9"),
    bad("no target modules", {"lora.targetModules": []}, "spec.lora.targetModules", "at least 1 items"),
    bad("module twice", {"lora.targetModules": ["q_proj", "q_proj"]}, "spec.lora", "must not name a module twice"),
    bad(
        "all-linear and more", {"lora.targetModules": ["all-linear", "lm_head"]}, "spec.lora", "remove the other names"
    ),
    bad("empty module", {"lora.targetModules": [""]}, "spec.lora.targetModules[0]", "such as q_proj"),
    bad("module as expression", {"lora.targetModules": ["(.*)*$"]}, "spec.lora.targetModules[0]", "such as q_proj"),
    # training and evaluation
    bad("no training", {"training": REMOVED}, "spec.training", "Required value"),
    bad(
        "steps and epochs",
        {"training.epochs": 1},
        "spec.training",
        "exactly one of training.maxSteps and training.epochs",
    ),
    bad("neither steps nor epochs", {"training": {}}, "spec.training", "exactly one of training.maxSteps"),
    bad("no steps", {"training.maxSteps": 0}, "spec.training.maxSteps", "greater than or equal to 1"),
    bad("no epochs", {"training": {"epochs": 0}}, "spec.training.epochs", "greater than 0"),
    bad("rows of no length", {"training.maxLength": 0}, "spec.training.maxLength", "greater than or equal to 8"),
    bad("rows too long", {"training.maxLength": 10_000_000}, "spec.training.maxLength", "less than or equal to 131072"),
    bad(
        "batch 0", {"training.effectiveBatchSize": 0}, "spec.training.effectiveBatchSize", "greater than or equal to 1"
    ),
    bad(
        "batch does not divide",
        {"training.microBatchSize": 5},
        "spec.training",
        "must be a multiple of training.microBatchSize",
    ),
    bad("learning rate 0", {"training.learningRate": 0}, "spec.training.learningRate", "greater than 0"),
    bad("negative learning rate", {"training.learningRate": -0.1}, "spec.training.learningRate", "greater than 0"),
    bad("learning rate 10", {"training.learningRate": 10}, "spec.training.learningRate", "less than or equal to 1"),
    bad(
        "learning rate as text",
        {"training.learningRate": "NaN"},
        "spec.training.learningRate",
        "must be of type number",
    ),
    bad("unknown schedule", {"training.schedule": "cosin"}, "spec.training.schedule", 'supported values: "cosine"'),
    bad("warm-up over half", {"training.warmupRatio": 0.9}, "spec.training.warmupRatio", "less than or equal to 0.5"),
    bad(
        "impatient", {"training.earlyStopping": {"patience": 0}}, "earlyStopping.patience", "greater than or equal to 1"
    ),
    bad(
        "early stopping without rows",
        {"training.earlyStopping": {"patience": 3}, "dataset.split.validation": 0},
        "training.earlyStopping needs rows",
        "set dataset.validationUri",
    ),
    bad("misspelt field", {"training.learnigRate": 0.1}, 'unknown field "spec.training.learnigRate"'),
    bad(
        "gate without base",
        {"evaluation": {"compareWithBase": False, "gate": {"maxLossRatio": 0.9}}},
        "spec.evaluation",
        "needs evaluation.compareWithBase: true",
    ),
    bad(
        "gate on forgetting without base",
        {"evaluation": {"compareWithBase": False, "gate": {"maxForgettingRatio": 1.1}}},
        "spec.evaluation",
        "gate.maxForgettingRatio needs evaluation.compareWithBase: true",
    ),
    bad(
        "gate without rows",
        {"evaluation.gate.minExactMatch": 0.5, "dataset.split.test": 0},
        "evaluation.gate needs rows",
        "set dataset.testUri",
    ),
    bad(
        "gate on answers without answers",
        {"evaluation": {"samples": 0, "gate": {"minJsonFields": 0.9}}},
        "spec.evaluation",
        "set samples above 0",
    ),
    bad(
        "gate on tool calls without answers",
        {"evaluation": {"samples": 0, "gate": {"minToolCalls": 0.9}}},
        "spec.evaluation",
        "set samples above 0",
    ),
    bad(
        "gate on tool calls without rows",
        {"evaluation.gate.minToolCalls": 0.5, "dataset.split.test": 0},
        "evaluation.gate needs rows",
        "set dataset.testUri",
    ),
    bad("gate above 1", {"evaluation.gate.minExactMatch": 2}, "gate.minExactMatch", "less than or equal to 1"),
    # output and storage
    bad("no output", {"output": REMOVED}, "spec.output", "Required value"),
    bad(
        "output inside dataset",
        {"output.uri": "s3://datasets/triage.jsonl/out"},
        "spec",
        "choose another output prefix",
    ),
    bad("dataset inside output", {"output.uri": "s3://datasets/"}, "spec", "must not contain each other"),
    bad("output is the dataset", {"output.uri": "s3://datasets/triage.jsonl"}, "spec", "must not contain each other"),
    bad("output to a file", {"output.uri": "adapters"}, "spec.output.uri", "s3://bucket/key"),
    bad("output too long", {"output.uri": "s3://adapters/" + "a" * 512}, "spec.output.uri", "may not be more than 512"),
    bad(
        "two identities",
        {"storage": {"secretName": "s3", "serviceAccountName": "trainer"}},
        "spec.storage",
        "set only one of storage.secretName and storage.serviceAccountName",
    ),
    bad(
        "secret of another namespace",
        {"storage.secretName": "team-b/s3"},
        "spec.storage.secretName",
        "name of an object",
    ),
    bad("secret climbs", {"storage.secretName": "a..b"}, "spec.storage.secretName", "name of an object"),
    bad(
        "account with a slash", {"storage.serviceAccountName": "a/b"}, "storage.serviceAccountName", "name of an object"
    ),
    bad("keys in the spec", {"storage.secretAccessKey": "abc"}, 'unknown field "spec.storage.secretAccessKey"'),
    bad(
        "endpoint with a path",
        {"storage.endpoint": "https://s3.example.org/x"},
        "spec.storage.endpoint",
        "without a path",
    ),
    bad("endpoint without scheme", {"storage.endpoint": "s3.example.org"}, "spec.storage.endpoint", "http(s)://host"),
    # compute and scheduling
    bad("negative GPUs", {"compute.gpus": -1}, "spec.compute.gpus", "greater than or equal to 0"),
    bad("a thousand GPUs", {"compute.gpus": 1000}, "spec.compute.gpus", "less than or equal to 16"),
    bad("half a GPU", {"compute.gpus": 0.5}, "spec.compute.gpus", "must be of type integer"),
    bad(
        "a batch that the GPUs cannot share",
        {"compute.gpus": 3},
        "training.effectiveBatchSize must be a multiple of compute.gpus times compute.nodes",
    ),
    bad("no nodes", {"compute.nodes": 0}, "spec.compute.nodes", "greater than or equal to 1"),
    bad(
        "resource without domain",
        {"compute.resourceName": "gpu"},
        "spec.compute.resourceName",
        "such as nvidia.com/gpu",
    ),
    bad("memory without unit", {"compute.memory": "32"}, "spec.compute.memory", "a number without a suffix is bytes"),
    bad("memory as a number of GiB", {"compute.memory": 32}, "spec.compute.memory", "must be at least 16Mi"),
    bad("memory 0", {"compute.memory": "0Gi"}, "spec.compute.memory", "must be at least 16Mi"),
    bad("memory as power", {"compute.memory": "1e400"}, "spec.compute.memory", "must be at most 1Pi"),
    bad("memory with another unit", {"compute.memory": "32GB"}, "spec.compute.memory", "must be memory such as 32Gi"),
    bad("cpu 0", {"compute.cpu": "0"}, "spec.compute.cpu", "must be at least 1m"),
    bad("negative cpu", {"compute.cpu": -1}, "spec.compute.cpu", "must be at least 1m"),
    bad("cpu in words", {"compute.cpu": "four"}, "spec.compute.cpu", "must be CPU cores such as 4"),
    bad("cpu as a fraction without quotes", {"compute.cpu": 0.5}, "spec.compute.cpu", "must be of type integer"),
    bad("limit below the request", {"compute": {"cpu": 4, "cpuLimit": "2"}}, "spec.compute", "must not be below"),
    bad("no limit", {"compute.cpuLimit": 0}, "spec.compute.cpuLimit", "must be at least 1m"),
    bad("cpu as boolean", {"compute.cpu": True}, "spec.compute.cpu", "must be of type integer"),
    bad(
        "selects the control plane",
        {"compute.nodeSelector": {"node-role.kubernetes.io/control-plane": ""}},
        "spec.compute",
        "must not select node roles",
    ),
    bad("label key with a space", {"compute.nodeSelector": {"my gpu": "a100"}}, "spec.compute", "no label key"),
    bad("label value with a slash", {"compute.nodeSelector": {"gpu": "a/b"}}, "nodeSelector", "must be a label value"),
    bad(
        "too many labels",
        {"compute.nodeSelector": {f"label-{number}": "x" for number in range(10_000)}},
        "spec.compute.nodeSelector",
        "must have at most 16 items",
    ),
    bad(
        "tolerates everything",
        {"compute.tolerations": [{"operator": "Exists"}]},
        "tolerations[0].key",
        "Required value",
    ),
    bad(
        "Exists with a value",
        {"compute.tolerations": [{"key": "gpu", "operator": "Exists", "value": "a"}]},
        "spec.compute.tolerations[0]",
        "remove it, or use operator Equal",
    ),
    bad(
        "seconds for an effect that ends no pod",
        {"compute.tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}]},
        "spec.compute.tolerations[0]",
        "tolerationSeconds needs effect: NoExecute",
    ),
    bad(
        "a word that is less",
        {"compute.tolerations": [{"key": "gpu", "operator": "Lt", "value": "few"}]},
        "spec.compute.tolerations[0]",
        "needs a whole number as its value",
    ),
    bad("host network", {"compute.hostNetwork": True}, 'unknown field "spec.compute.hostNetwork"'),
    bad("queue with capitals", {"scheduling.queueName": "Team-A"}, "spec.scheduling.queueName", "lower-case letters"),
    bad(
        "priority without queue", {"scheduling.priorityClass": "high"}, "spec.scheduling", "needs scheduling.queueName"
    ),
    bad(
        "no time",
        {"scheduling.maxExecutionSeconds": 1},
        "scheduling.maxExecutionSeconds",
        "greater than or equal to 60",
    ),
    # the run
    bad("suspend as text", {"suspend": "true"}, "spec.suspend", "must be of type boolean"),
    bad("unknown update policy", {"updatePolicy": "Always"}, "spec.updatePolicy", '"Immutable", "Rerun"'),
    bad("run token with a space", {"runToken": "second try"}, "spec.runToken", "letters, digits"),
    bad("negative retries", {"retries": -1}, "spec.retries", "greater than or equal to 0"),
    bad(
        "negative time to live",
        {"ttlSecondsAfterFinished": -1},
        "spec.ttlSecondsAfterFinished",
        "greater than or equal to 0",
    ),
    bad("own image", {"image": "evil:latest"}, 'unknown field "spec.image"'),
    bad("own environment", {"env": [{"name": "LD_PRELOAD", "value": "x"}]}, 'unknown field "spec.env"'),
)
