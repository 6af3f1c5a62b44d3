"""`lora-trainer run`: what of a spec is for a cluster is used where it can be, and else told."""

from __future__ import annotations

import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import ENV_S3_ENDPOINT
from lora_trainer.command import off_cluster
from support.specs import BASE, changed

OURS = "https://s3.example.org"


def spec(**changes: object) -> LoRAFineTuneSpec:
    """A spec with fields below `storage`, `compute` and others changed."""
    return LoRAFineTuneSpec.read(changed(changes))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, OURS, False),
        ({"AWS_ENDPOINT_URL": OURS}, OURS, False),
        ({"AWS_ENDPOINT_URL": "http://localhost:9000"}, "http://localhost:9000", True),
        ({ENV_S3_ENDPOINT: "http://localhost:9000"}, "http://localhost:9000", True),
    ],
)
def test_the_endpoint_of_the_spec_is_used_unless_the_environment_names_one(
    before: dict[str, str], after: str, told: bool
) -> None:
    environment = dict(before)
    note = off_cluster.take_endpoint(spec(**{"storage.endpoint": OURS}), environment)

    assert (environment.get(ENV_S3_ENDPOINT) or environment["AWS_ENDPOINT_URL"]) == after
    assert (note is not None) is told


def test_what_does_nothing_here_is_told() -> None:
    note = off_cluster.of_no_effect(
        spec(storage={"secretName": "s3"}, scheduling={"queueName": "team"}, compute={"gpus": 0, "cpu": "4"})
    )

    assert note == (
        "of no effect without a cluster: storage.secretName (the usual AWS variables are read instead), compute.cpu,"
        " scheduling"
    )


def test_nothing_is_told_of_what_was_not_written() -> None:
    least = {key: BASE[key] for key in ("model", "dataset", "training", "output")}

    assert off_cluster.of_no_effect(LoRAFineTuneSpec.read(least)) is None


def test_every_field_that_is_told_exists() -> None:
    for path in off_cluster.OF_A_CLUSTER:
        part, _, field = path.partition(".")
        fields = {each.alias or name: each.annotation for name, each in LoRAFineTuneSpec.model_fields.items()}
        below = getattr(fields[part], "model_fields", {})
        assert not field or field in {each.alias or name for name, each in below.items()}
