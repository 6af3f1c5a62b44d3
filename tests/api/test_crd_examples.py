"""Every LoRAFineTune that users are shown, in examples and documentation, is one that the API server takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from support.api_server import CRD, FineTunes

ROOT = CRD.parents[1]
FENCED = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown() -> Iterator[tuple[str, str]]:
    """Place and text of each LoRAFineTune in examples, README and documentation."""
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, block in enumerate(FENCED.findall(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}#{number}", block


SHOWN = {place: text for place, text in shown() if f"kind: {names.KIND}" in text}


@pytest.mark.parametrize("place", SHOWN)
def test_a_shown_run_is_accepted(finetunes: FineTunes, place: str) -> None:
    documents = [document for document in yaml.safe_load_all(SHOWN[place]) if document["kind"] == names.KIND]
    for document in documents:
        assert document["apiVersion"] == names.API_VERSION
        LoRAFineTuneSpec.model_validate(document["spec"])
        finetunes.create(document["metadata"]["name"], document["spec"])


def test_there_is_an_example() -> None:
    assert "examples/quickstart.yaml" in SHOWN
