"""Padding-free batches give the losses and gradients of padded ones, for every family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lora_trainer.batches.batch import collate_padding_free
from lora_trainer.evaluation.generate import answer
from lora_trainer.evaluation.losses import measure
from lora_trainer.model.forward import choose
from support.padded_reference import gradients, reference_loss
from support.tiny_models import (
    CONFIGS,
    OLDER_CONFIGS,
    OLDER_WITHOUT_PADDING,
    adapted,
    byte_tokenizer,
    ragged_rows,
    tiny,
)


@pytest.mark.parametrize("family", CONFIGS)
def test_loss_and_gradients_equal_the_padded_reference(family: str) -> None:
    # Ragged rows, some longer than the sliding window, and an adapter that already changes the answers
    model, rows = adapted(family), ragged_rows()
    expected = reference_loss(model, rows)
    expected.backward()
    wanted = gradients(model)
    model.zero_grad()

    # The same rows go through the way that was found for the model
    forward_pass, warnings = choose(model, rows, pad_token_id=0, autocast=None)
    loss = forward_pass.loss_sum(model, forward_pass.collate(rows))
    loss.backward()

    # No row was padded, and loss and gradients are the same
    assert forward_pass.padding_free, warnings
    assert forward_pass.own_head
    assert warnings == []
    assert "attention_mask" not in forward_pass.collate(rows)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    found = gradients(model)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        scale = gradient.abs().max().clamp_min(1e-6)
        assert (found[name] - gradient).abs().max() / scale < 1e-4, name


@pytest.mark.parametrize("family", OLDER_CONFIGS)
def test_older_families_are_padded_where_they_have_an_attention_of_their_own(family: str) -> None:
    # Ragged rows, and an adapter that already changes the answers; without the dropout that GPT-2 has in its layers
    model, rows = adapted(family).eval(), ragged_rows()
    expected = reference_loss(model, rows)

    # The way that was found for the model needs no padding where its attention can be replaced
    forward_pass, warnings = choose(model, rows, pad_token_id=0, autocast=None)
    loss = forward_pass.loss_sum(model, forward_pass.collate(rows))

    assert forward_pass.padding_free == (family in OLDER_WITHOUT_PADDING)
    assert forward_pass.padding_free or "an attention of its own, which cannot be replaced" in warnings[0]
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_no_row_sees_another() -> None:
    # Two batches that share their second row
    model = tiny("llama")
    forward_pass, _ = choose(model, ragged_rows(), pad_token_id=0, autocast=None)
    first, second, third = ragged_rows(3)
    # It stands behind different rows
    alone = [collate_padding_free([before, third]) for before in (first, second)]
    states = [forward_pass.targets(model, batch)[0][-third.target_count :] for batch in alone]
    # Its states are the same
    torch.testing.assert_close(states[0], states[1], rtol=1e-5, atol=1e-5)


def test_a_model_with_an_unknown_output_head_falls_back_to_its_own_logits() -> None:
    # A model whose logits are not simply head(states)
    model = tiny("llama")
    original = model.forward

    def doubled(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.logits = output.logits * 2
        return output

    model.forward = doubled
    # The way is chosen
    rows = ragged_rows()
    forward_pass, warnings = choose(model, rows, pad_token_id=0, autocast=None)
    # It is the slow one, said so, and its loss is right
    assert not forward_pass.padding_free
    assert "slower" in warnings[0]
    torch.testing.assert_close(
        forward_pass.loss_sum(model, forward_pass.collate(rows)), reference_loss(model, rows), rtol=1e-4, atol=1e-4
    )


def test_a_model_whose_attention_ignores_the_bounds_is_padded_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    # A model whose attention does not get the bounds of the rows
    model = tiny("llama")
    for layer in model.model.layers:
        forward = layer.self_attn.forward
        monkeypatch.setattr(
            layer.self_attn,
            "forward",
            lambda *a, _f=forward, **k: _f(*a, **{n: v for n, v in k.items() if n != "cu_seq_lens_q"}),
        )
    # The way is chosen
    rows = ragged_rows()
    forward_pass, warnings = choose(model, rows, pad_token_id=0, autocast=None)
    # Rows are padded and the loss is right
    assert not forward_pass.padding_free
    assert forward_pass.own_head
    assert "padded" in warnings[0]
    torch.testing.assert_close(
        forward_pass.loss_sum(model, forward_pass.collate(rows)), reference_loss(model, rows), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("padding_free", [True, False])
def test_a_silent_row_takes_part_and_changes_nothing(padding_free: bool) -> None:
    # A process that has no row of its own in a step
    model, rows = tiny("llama"), ragged_rows()
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    forward_pass = replace(forward_pass, padding_free=padding_free)
    if not padding_free:
        model.set_attn_implementation("sdpa")
    # It runs a silent row
    loss = forward_pass.loss_sum(model, forward_pass.collate([rows[0].silent]))
    loss.backward()
    # The loss is zero, and every weight has a gradient of zero for the others to wait for
    assert float(loss.detach()) == 0
    trained = [parameter for name, parameter in model.named_parameters() if "lm_head" not in name]
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in trained)


@pytest.mark.parametrize("family", ["llama", "gemma2-softcap-window"])
def test_evaluation_does_not_depend_on_the_batch_size(family: str) -> None:
    model, rows = tiny(family), ragged_rows(20)
    expected = float(reference_loss(model.eval(), rows).detach())
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    results = [measure(forward_pass, model, rows, tokens=tokens) for tokens in (1, 64, 256, 100_000)]
    assert len({result.targets for result in results}) == 1
    assert len({result.correct for result in results}) == 1
    for result in results[1:]:
        assert result.loss == pytest.approx(results[0].loss, rel=1e-5)
    assert results[0].loss == pytest.approx(expected / results[0].targets, rel=1e-5)


def test_loss_and_gradients_do_not_depend_on_the_split_into_micro_batches() -> None:
    model, rows = adapted("llama"), ragged_rows(8)
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    targets = sum(row.target_count for row in rows)
    results = []
    for size in (8, 4, 2, 1):
        model.zero_grad()
        total = 0.0
        for start in range(0, 8, size):
            loss = forward_pass.loss_sum(model, forward_pass.collate(rows[start : start + size])) / targets
            loss.backward()
            total += float(loss.detach())
        results.append((total, gradients(model)))
    for total, found in results[1:]:
        assert total == pytest.approx(results[0][0], rel=1e-5)
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, results[0][1][name], rtol=1e-4, atol=1e-6)


def test_generation_uses_the_cache_and_training_does_not() -> None:
    # A model in training
    model = tiny("llama").train()
    forward_pass, _ = choose(model, ragged_rows(), pad_token_id=0, autocast=None)
    used: list[bool] = []
    forward = model.model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        used.append(bool(kwargs.get("use_cache")))
        return forward(*args, **kwargs)

    model.model.forward = watched
    # It answers prompts of different length together, and then trains on
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [14]]
    answers = answer(forward_pass, model, byte_tokenizer(), prompts, max_new_tokens=6, stops=[2])
    assert all(used)
    used.clear()
    forward_pass.loss_sum(model, forward_pass.collate(ragged_rows()))
    # Training is without the cache and as before, and each answer is the one the prompt gets alone
    assert used == [False]
    assert model.training
    alone = [
        answer(forward_pass, model, byte_tokenizer(), [prompt], max_new_tokens=6, stops=[2])[0] for prompt in prompts
    ]
    assert answers == alone
