"""What the real API server accepts and refuses, and that pydantic says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from pydantic import ValidationError

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from support.api_server import FineTunes
from support.bad_specs import BAD_SPECS, BadSpec
from support.specs import BASE, GOOD_SPECS, changed


def refusal(finetunes: FineTunes, spec: dict[str, Any], name: str = "triage") -> str:
    """The message with which the API server refuses a spec; fails where it accepts it."""
    with pytest.raises(client.ApiException) as caught:
        finetunes.create(name, spec, dry_run=True)
    assert caught.value.status in (400, 422)
    return str(json.loads(caught.value.body)["message"])


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.id)
def test_a_bad_spec_is_refused_with_words_that_help(finetunes: FineTunes, bad: BadSpec) -> None:
    message = refusal(finetunes, changed(bad.changes))
    for fragment in bad.says:
        assert fragment in message
    for jargon in ("body should match", "no such key", "evaluating rule"):
        assert jargon not in message


@pytest.mark.parametrize("changes", GOOD_SPECS.values(), ids=GOOD_SPECS.keys())
def test_a_good_spec_is_accepted_and_stored_with_the_defaults_of_the_contract(
    finetunes: FineTunes, changes: dict[str, Any]
) -> None:
    spec = changed(changes)
    stored = finetunes.create("triage", spec)["spec"]
    assert stored == LoRAFineTuneSpec.model_validate(spec).dump()
    assert LoRAFineTuneSpec.model_validate(stored) == LoRAFineTuneSpec.model_validate(spec)


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.id)
def test_pydantic_refuses_what_the_api_server_refuses(bad: BadSpec) -> None:
    with pytest.raises(ValidationError):
        LoRAFineTuneSpec.model_validate(changed(bad.changes))


def test_the_longest_name_is_accepted(finetunes: FineTunes) -> None:
    finetunes.create("a" * names.MAX_NAME_LENGTH, BASE)


def test_a_longer_name_is_refused_with_the_limit(finetunes: FineTunes) -> None:
    message = refusal(finetunes, BASE, name="a" * (names.MAX_NAME_LENGTH + 1))
    assert f"metadata.name must be at most {names.MAX_NAME_LENGTH} characters" in message


def test_a_name_with_dots_is_refused(finetunes: FineTunes) -> None:
    assert "must not contain '.'" in refusal(finetunes, BASE, name="triage.v2")


def test_a_local_file_is_for_runs_without_a_cluster_only(finetunes: FineTunes) -> None:
    spec = changed({"dataset.uri": "file:///data/rows.jsonl", "output.uri": "file:///data/adapters"})
    assert LoRAFineTuneSpec.model_validate(spec).dataset.uri == "file:///data/rows.jsonl"
    assert "must be a storage address: s3://bucket/key" in refusal(finetunes, spec)
