"""`kubectl lora validate` and `lora-trainer run` refuse what the cluster refuses, and take what it takes."""

from __future__ import annotations

import textwrap

import pytest

from lora_cluster.errors import ClusterError
from lora_cluster.kubectl import Kubectl
from lora_contract.manifest import read_manifest
from lora_contract.yaml_documents import DocumentError, read_documents

HEAD = """\
apiVersion: lora-operator.dev/v1alpha1
kind: LoRAFineTune
metadata: {name: triage}
spec:
  model: {id: gpt2, source: s3://models/gpt2}
  dataset: {uri: s3://datasets/a}
  output: {uri: s3://adapters/a}
"""
TRAINING = "  training: {maxSteps: 100}\n"
SWEEP = """\
apiVersion: lora-operator.dev/v1alpha1
kind: LoRASweep
metadata: {name: rates}
spec:
  grid: {training: {learningRate: [1e-4, 2e-4]}}
  template:
    spec:
"""
#: A manifest, and whether a cluster takes it.
CASES: dict[str, tuple[str, bool]] = {
    "the least that is needed": (HEAD + TRAINING, True),
    "a cpu without quotes": (HEAD + TRAINING + "  compute: {cpu: 4, memory: 34359738368}", True),
    "a date as a token": (HEAD + TRAINING + "  runToken: 2026-01-31", True),
    "a number as a token": (HEAD + TRAINING + "  runToken: 2", False),
    "a word for true": (HEAD + TRAINING + "  suspend: yes", True),
    "another word for true": (HEAD + TRAINING + "  suspend: 'yes'", False),
    "a rate with an exponent": (HEAD + "  training: {maxSteps: 1e2, learningRate: 2e-4}", True),
    "whole steps with a point": (HEAD + "  training: {maxSteps: 100.0}", True),
    "half a step": (HEAD + "  training: {maxSteps: 100.5}", False),
    "octal steps": (HEAD + "  training: {maxSteps: 0144}", True),
    "steps in sixties": (HEAD + "  training: {maxSteps: 1:40}", False),
    "an infinite rate": (HEAD + "  training: {maxSteps: 1, learningRate: .inf}", False),
    "snake case": (HEAD + "  training: {max_steps: 100}", False),
    "a misspelt part": (HEAD + TRAINING + "  quantisation: {type: nf4}", False),
    "a misspelt part of the object": (HEAD + TRAINING + "sepc: {}", False),
    "misspelt metadata": ((HEAD + TRAINING).replace("name: triage", "name: triage, lables: {}"), False),
    "null for a part with defaults": (HEAD + TRAINING + "  lora: null\n  evaluation: ~", True),
    "null for a field without default": (HEAD + "  training: {maxSteps: 100, epochs: null, earlyStopping: }", True),
    "null for a field that is needed": (HEAD + "  training: null", False),
    "null for a field that is unknown": (HEAD + TRAINING + "  image: null", True),
    "null for a label of nodes": (HEAD + TRAINING + "  compute: {nodeSelector: {pool: null}}", True),
    "null in a list": (HEAD + TRAINING + "  lora: {targetModules: [null]}", False),
    "a label that is a number": ((HEAD + TRAINING).replace("name: triage", "name: triage, labels: {cost: 7}"), False),
    "a label with a space": ((HEAD + TRAINING).replace("name: triage", "name: triage, labels: {a: b c}"), False),
    "labels": ((HEAD + TRAINING).replace("name: triage", "name: triage, labels: {example.org/cost: 'a_7'}"), True),
    "an annotation of any text": (
        (HEAD + TRAINING).replace("name: triage", "name: triage, annotations: {note: 'Grüße, a b'}"),
        True,
    ),
    "a name with capitals": ((HEAD + TRAINING).replace("name: triage", "name: Triage"), False),
    "a name with dots": ((HEAD + TRAINING).replace("name: triage", "name: triage.v2"), False),
    "the longest name": ((HEAD + TRAINING).replace("name: triage", f"name: {'n' * 44}"), True),
    "a longer name": ((HEAD + TRAINING).replace("name: triage", f"name: {'n' * 45}"), False),
    "a name that is a number": ((HEAD + TRAINING).replace("name: triage", "name: 7"), False),
    "another version": ((HEAD + TRAINING).replace("v1alpha1", "v1"), False),
    "a file of this machine": ((HEAD + TRAINING).replace("s3://datasets/a", "file:///data/a"), False),
    "anchors": ((HEAD + TRAINING).replace("{uri: s3://datasets/a}", "&d {uri: s3://datasets/a}"), True),
    "a sweep": (SWEEP + textwrap.indent((HEAD + TRAINING).split("spec:\n")[1], "    "), True),
    "a sweep that tries a field that is none": (
        (SWEEP + textwrap.indent((HEAD + TRAINING).split("spec:\n")[1], "    ")).replace("learningRate", "rate"),
        False,
    ),
}


def taken_by_the_cluster(kubectl: Kubectl, namespace: str, text: str) -> bool:
    """Whether kubectl and the API server would take a manifest."""
    try:
        kubectl.run("apply", "--dry-run=server", f"--namespace={namespace}", "--filename=-", stdin=text)
    except ClusterError:
        return False
    return True


def taken_on_the_desk(text: str) -> bool:
    """Whether `kubectl lora validate` would."""
    try:
        for document in read_documents(text):
            read_manifest(document, cluster=True)
    except DocumentError:
        return False
    return True


@pytest.mark.parametrize("case", CASES)
def test_desk_and_cluster_agree(kubectl: Kubectl, namespace: str, case: str) -> None:
    text, taken = CASES[case]

    assert taken_by_the_cluster(kubectl, namespace, text) is taken
    assert taken_on_the_desk(text) is taken


def test_a_key_that_stands_twice_is_refused_on_the_desk_at_least() -> None:
    with pytest.raises(DocumentError, match="line 9, column 3: key training stands here and in line 8"):
        read_documents(HEAD + TRAINING + TRAINING)
