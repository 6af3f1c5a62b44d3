"""Bad specs in the parts that are about the platform: output, storage, compute, scheduling, the run."""

from __future__ import annotations

from support.bad_spec import bad
from support.specs import REMOVED

OF_THE_PLATFORM = (
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
