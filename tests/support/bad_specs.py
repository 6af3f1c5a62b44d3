"""Bad specs: each is a change to a good one, with the words that its refusal must hold."""

from __future__ import annotations

from support.bad_method_specs import OF_METHODS
from support.bad_parent_specs import OF_PARENTS
from support.bad_platform_specs import OF_THE_PLATFORM
from support.bad_source_specs import OF_SOURCES
from support.bad_spec import BadSpec, bad
from support.specs import REMOVED

__all__ = ["BAD_SPECS", "BadSpec"]

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
    *OF_METHODS,
    *OF_PARENTS,
    *OF_SOURCES,
    *OF_THE_PLATFORM,
)
