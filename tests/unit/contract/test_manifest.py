"""A manifest is refused on the desk exactly where the cluster refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract import names
from lora_contract.manifest import is_ours, read_manifest
from lora_contract.yaml_documents import DocumentError, read_documents
from support.bad_specs import BAD_SPECS, BadSpec
from support.specs import BASE, GOOD_SPECS, changed
from support.sweeps import sweep

FINE_TUNE: dict[str, Any] = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"name": "triage"},
    "spec": BASE,
}


def faults(document: dict[str, Any]) -> str:
    """All that is said of a document that a cluster would refuse."""
    with pytest.raises(DocumentError) as caught:
        read_manifest(document, cluster=True)
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize("changes", GOOD_SPECS.values(), ids=GOOD_SPECS.keys())
def test_a_good_spec_is_taken(changes: dict[str, Any]) -> None:
    found = read_manifest(FINE_TUNE | {"spec": changed(changes)}, cluster=True)

    assert (found.kind, found.name) == (names.KIND, "triage")


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.id)
def test_a_bad_spec_is_refused(bad: BadSpec) -> None:
    assert faults(FINE_TUNE | {"spec": changed(bad.changes)}).startswith("spec")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"spec.training.max_steps": 100}, "spec.training.max_steps: unknown field; write maxSteps"),
        ({"spec.trainig": {}}, "spec.trainig: unknown field; is training meant?"),
        ({"spec.lora.rank": 8}, "spec.lora.rank: unknown field; there are r, alpha, dropout, targetModules, useRslora"),
        ({"spec.training.earlyStopping": {"patence": 3}}, "earlyStopping.patence: unknown field; is patience meant?"),
        ({"apiVersion": "lora-operator.dev/v1"}, "apiVersion: must be lora-operator.dev/v1alpha1"),
        ({"kind": "LoraFineTune"}, "kind: must be LoRAFineTune or LoRASweep"),
        ({"metdata": {}}, "metdata: unknown field"),
        ({"metadata": None}, "metadata.name: is missing; it has no default"),
        ({"metadata.lables": {}}, "metadata.lables: unknown field"),
        ({"metadata.name": "Triage"}, "metadata.name: must be lower-case letters"),
        ({"metadata.name": "triage.v2"}, "metadata.name must not contain '.'"),
        ({"metadata.name": "n" * 45}, "metadata.name must be at most 44 characters"),
        ({"metadata.name": 7}, "metadata.name: must be a valid string; write it in quotes"),
        ({"metadata.namespace": "team_a"}, "metadata.namespace: must be lower-case letters"),
        ({"metadata.labels": {"cost": 7}}, "metadata.labels.cost: must be a valid string"),
        ({"metadata.labels": {"cost": "a b"}}, "metadata.labels.cost: must be at most 63"),
        ({"metadata.labels": {"cost centre": "a"}}, "metadata.labels: cost centre is no key"),
        ({"spec.lora.r": "16"}, "spec.lora.r: must be a valid integer; write it without quotes"),
        ({"spec.dataset.split": {"validation": "10%"}}, "split.validation: must be a valid number; write 0.1"),
        ({"spec.dataset.split": {"validation": "0.1"}}, "must be a valid number; write it without quotes"),
        ({"spec.lora.targetModules": "all-linear"}, "targetModules: must be a valid list; write [all-linear]"),
        ({"spec.runToken": 2}, "spec.runToken: must be a valid string; write it in quotes"),
        ({"spec.lora": 16}, "spec.lora: must be a mapping of fields to values"),
        ({"spec": None}, "spec.model: is missing; it has no default"),
        ({"spec.lora": {"r": None, "alpha": 0}}, "spec.lora.alpha: must be greater than"),
        ({"spec.lora": {"targetModules": [None]}}, "spec.lora.targetModules.0: must be a valid string"),
        ({"spec.dataset.uri": "file:///data/rows.jsonl"}, "must be an address of data: s3://bucket/key"),
    ],
)
def test_each_fault_names_its_path(changes: dict[str, Any], says: str) -> None:
    said = faults(changed(changes, FINE_TUNE))

    assert says in said
    assert len(said.splitlines()) <= 4


def test_a_word_for_a_number_gets_no_advice_about_quotes() -> None:
    assert faults(changed({"spec.lora.r": "sixteen"}, FINE_TUNE)) == "spec.lora.r: must be a valid integer"


def test_all_faults_are_told_at_once() -> None:
    said = faults(changed({"metadata.name": "A", "spec.lora": {"r": 0}, "spec.suspend": "no"}, FINE_TUNE))

    assert len(said.splitlines()) == 3


def test_nulls_are_absent_fields_as_for_the_api_server() -> None:
    document = changed({"spec.lora": None, "spec.dataset.testUri": None, "metadata.labels": None}, FINE_TUNE)

    assert read_manifest(document, cluster=True) == read_manifest(FINE_TUNE, cluster=True)


def test_files_of_this_machine_are_for_runs_without_a_cluster() -> None:
    document = changed({"spec.dataset.uri": "file:///data/rows.jsonl"}, FINE_TUNE)

    assert read_manifest(document, cluster=False).name == "triage"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"grid.lora.r": [8, 8]}, "are the same"),
        ({"grid": {}}, "name at least one field"),
        ({"template.spec.lora": {"r": 0}}, "spec.template.spec.lora.r"),
    ],
)
def test_a_sweep_is_judged_with_its_trials(changes: dict[str, Any], says: str) -> None:
    document = FINE_TUNE | {"kind": names.SWEEP_KIND, "spec": sweep(changes)}

    assert says in faults(document)
    assert read_manifest(document | {"spec": sweep()}, cluster=True).kind == names.SWEEP_KIND


def test_the_name_of_a_sweep_leaves_room_for_its_trials() -> None:
    document = FINE_TUNE | {"kind": names.SWEEP_KIND, "spec": sweep(), "metadata": {"name": "n" * 42}}

    assert "at most 41 characters" in faults(document)


def test_other_objects_of_a_file_are_left_to_others() -> None:
    (secret, run, other_version) = read_documents(
        "{apiVersion: v1, kind: Secret}\n---\n{kind: LoRAFineTune}\n---\n{apiVersion: lora-operator.dev/v2, kind: X}"
    )

    assert not is_ours(secret)
    assert not is_ours("text")
    assert is_ours(run)
    assert is_ours(other_version)
