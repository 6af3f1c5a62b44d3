"""`lora-trainer run` takes a file as the cluster takes it, and refuses what the cluster refuses."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lora_contract import manifests, names
from support.specs import BASE, changed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1E3", 1000),
        ("1.5e+2", 150),
        ("-3e-1", -0.3),
        ("0.0002", 2e-4),
        (".5", 0.5),
        ("4.0", 4),
        ("1_000", 1000),
        ("010", 8),
        ("0x10", 16),
        ("08", 8),
        ("2026-01-31", "2026-01-31"),
        ("10:30", "10:30"),
        ("5a14e", "5a14e"),
        ("e4", "e4"),
        ("1e", "1e"),
        ("v1e4", "v1e4"),
        ("=", "="),
        ("on", True),
        ("n", False),
        ("~", None),
        ("'on'", "on"),
        ("'4.0'", "4.0"),
    ],
)
def test_values_have_the_types_that_kubectl_sends(text: str, value: Any) -> None:
    (document,) = manifests.documents(f"key: {text}")

    assert document == {"key": value}
    assert type(document["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spec:\n  lora: {r: 8}\n  lora: {r: 16}\n", "line 3: the key 'lora' is written twice"),
        ("a: [", "line 1: "),
        ("a: .nan\n", "nan is no number in JSON"),
        ("a: \0\n", "it is not YAML"),
        ("a: !!python/object:os.system {}\n", "line 1: could not determine a constructor"),
    ],
)
def test_what_is_no_yaml_of_kubernetes_is_refused_by_its_line(text: str, words: str) -> None:
    with pytest.raises(manifests.InvalidManifestError) as raised:
        manifests.documents(text)

    assert str(raised.value).startswith(words)


def test_anchors_are_merged_and_their_keys_may_be_overridden() -> None:
    text = "base: &base {r: 8, alpha: 16}\nlora: {<<: *base, r: 4}\n"

    assert manifests.documents(text)[0]["lora"] == {"r": 4, "alpha": 16}


def manifest(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "triage"},
        "spec": spec,
    } | changes
    return {key: value for key, value in body.items() if value is not None}


def test_a_good_manifest_gives_name_and_spec() -> None:
    text = yaml.safe_dump(manifest(changed({"training.maxSteps": 100.0, "lora": None, "runToken": "1"})))

    name, spec = manifests.fine_tune(manifests.documents(text)[0])

    assert name == "triage"
    assert (spec.training.max_steps, spec.lora.r) == (100, 16)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (manifest(changed({"dataset.on_bad_rows": "Skip"})), "spec.dataset.on_bad_rows: "),
        (manifest(changed({"training": {"max_steps": 5}})), "spec.training.max_steps: "),
        (manifest(changed({"lora.r": "16"})), "spec.lora.r: "),
        (manifest(BASE, apiVersion=None), f"apiVersion: must be {names.API_VERSION}"),
        (manifest(BASE, apiVersion="lora-operator.dev/v1"), f"apiVersion: must be {names.API_VERSION}"),
        (manifest(BASE, sepc={}), "sepc: unknown field"),
        (manifest(BASE, metadata={}), "metadata.name: is missing"),
        (manifest(BASE, metadata={"name": "Triage"}), "metadata.name: must be lower-case"),
        (manifest(BASE, metadata={"name": "../x"}), "metadata.name: must be lower-case"),
        (manifest(BASE, metadata={"name": "a.b"}), "metadata.name must not contain '.'"),
        (manifest(BASE, metadata={"name": "a" * 64}), "metadata.name must be at most"),
        (
            manifest(changed({"evaluation": {"samples": 0, "gate": {"minExactMatch": 1}}})),
            "spec.evaluation: evaluation.",
        ),
    ],
)
def test_what_the_cluster_refuses_is_refused_in_words(document: dict[str, Any], words: str) -> None:
    with pytest.raises(manifests.InvalidManifestError) as raised:
        manifests.fine_tune(document)

    assert any(line.startswith(words) for line in raised.value.lines), raised.value.lines
    assert not any("Value error" in line for line in raised.value.lines)
