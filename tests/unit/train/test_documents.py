"""What is published beside an adapter."""

from __future__ import annotations

from lora_trainer.data.profile import DataProfile
from lora_trainer.train.documents import all_warnings


def test_documents_repeat_what_prepare_warned_of() -> None:
    profile = DataProfile(format="messages", warnings=["columns that are not used: score", "both say this"])
    assert all_warnings(profile, ["both say this", "the adapter forgets"]) == [
        "columns that are not used: score",
        "both say this",
        "the adapter forgets",
    ]
    assert all_warnings(None, ["the adapter forgets"]) == ["the adapter forgets"]
