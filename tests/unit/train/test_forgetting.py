"""What an adapter unlearned is measured on text that comes with the image."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from lora_contract.finetune import LoraSpec
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose, generating
from lora_trainer.train.forgetting import Forgetting, general_rows, measure_forgetting
from lora_trainer.train.session import Session
from support.tiny_models import byte_tokenizer, ragged_rows, tiny


@pytest.fixture
def session() -> Session:
    """A model with an adapter that does nothing yet."""
    adapted = attach(tiny("llama"), LoraSpec())
    forward_pass, _ = choose(adapted.model, ragged_rows(), pad_token_id=0, autocast=None)
    return cast("Session", SimpleNamespace(adapted=adapted, forward_pass=forward_pass, tokenizer=byte_tokenizer()))


def plain_loss(session: Session) -> float:
    """Nats per token by the model's own loss, one passage after the other."""
    model: Any = session.adapted.model
    total, count = 0.0, 0
    with torch.no_grad(), generating(session.forward_pass, model):
        for row in general_rows(session.tokenizer):
            ids = torch.from_numpy(row.input_ids).long()[None]
            total += float(model(input_ids=ids, labels=ids).loss) * row.target_count
            count += row.target_count
    return total / count


def test_an_adapter_that_does_nothing_forgot_nothing(session: Session) -> None:
    found = measure_forgetting(session, alive=lambda: None)
    assert found.ratio == pytest.approx(1, abs=1e-6)
    assert found.base == pytest.approx(plain_loss(session), rel=1e-4)
    assert found.warnings() == []


def test_an_adapter_that_changed_is_measured_with_its_changes(session: Session) -> None:
    # An adapter that disturbs the model
    before = plain_loss(session)
    for name, parameter in session.adapted.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(0))
    # Both losses are those of the model's own loss function
    found = measure_forgetting(session, alive=lambda: None)
    assert found.base == pytest.approx(before, rel=1e-4)
    assert found.adapter == pytest.approx(plain_loss(session), rel=1e-3)
    assert found.adapter != pytest.approx(found.base, rel=1e-2)


def test_much_that_was_forgotten_is_told_with_the_remedy() -> None:
    (warning,) = Forgetting(base=2.0, adapter=2.5).warnings()
    assert "1.25 times" in warning
    assert "lower learningRate" in warning
    assert Forgetting(base=2.0, adapter=2.1).warnings() == []
