"""Data on a volume of the namespace: prepare and check see it read-only, train does not."""

from __future__ import annotations

import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import Stage
from lora_contract.order import Order
from lora_operator.core.manifests.pod_template import pod_template
from lora_operator.settings import Settings
from support.specs import changed

SOURCES = [{"name": "a", "uri": "pvc://team.data/a"}, {"name": "b", "uri": "s3://datasets/b"}]


@pytest.mark.parametrize(("stage", "mounted"), [("prepare", True), ("check", True), ("train", False)])
def test_the_claim_is_mounted_read_only_where_data_are_read(stage: Stage, mounted: bool) -> None:
    spec = LoRAFineTuneSpec.model_validate(changed({"dataset": {"sources": SOURCES, "testUri": "pvc://team.data/t"}}))
    order = Order(stage=stage, namespace="team-a", name="triage", uid="1", spec=spec, scratch="/scratch")

    pod = pod_template(order, Settings(trainer_image="trainer"), job="triage-prepare-1", labels={})["spec"]

    volume = {"name": "data-0", "persistentVolumeClaim": {"claimName": "team.data", "readOnly": True}}
    mount = {"name": "data-0", "mountPath": "/claims/team.data", "readOnly": True}
    assert (volume in pod["volumes"]) == mounted
    assert (mount in pod["containers"][0]["volumeMounts"]) == mounted
