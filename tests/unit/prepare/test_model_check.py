"""A model's files held against each other and against the spec: refused in words before a GPU is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.model_files import shape
from support.chat_models import CONFIG, save_model, tensor_shapes, write_safetensors
from support.prepare_orders import Place, place
from support.prepared_data import chat, lines

ROWS = CONFIG["vocab_size"]


def refusal(run: Place) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        run.prepare()
    return raised.value


def weights(folder: Path, **shapes: tuple[int, ...] | None) -> None:
    """Write the weights with other shapes; None leaves a tensor out."""
    named = {name.replace("__", "."): found for name, found in shapes.items()}
    changed = {**tensor_shapes(), **named}
    write_safetensors(folder / "model.safetensors", {name: found for name, found in changed.items() if found})


def configured(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def with_tokens(folder: Path, count: int) -> PreTrainedTokenizerFast:
    """Add words to the tokenizer until it has `count`."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([f"<added{number}>" for number in range(count - len(tokenizer))], special_tokens=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused_until_the_embeddings_are_resized(
    tmp_path: Path,
) -> None:
    run = place(tmp_path)
    with_tokens(tmp_path / "model", ROWS + 3)

    error = refusal(run)

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert f"has {ROWS + 3} tokens, but the model has only {ROWS} embeddings: none for <added" in error.message
    assert "resize_token_embeddings" in str(error.hint)
    # The hint is followed
    weights(tmp_path / "model", model__embed_tokens__weight=(ROWS + 3, 32), lm_head__weight=(ROWS + 3, 32))
    configured(tmp_path / "model", vocab_size=ROWS + 3)
    assert run.prepare().plan is not None


def test_a_tokenizer_with_fewer_tokens_than_embeddings_is_fine(tmp_path: Path) -> None:
    save_model(tmp_path / "model")
    assert len(with_tokens(tmp_path / "model", 0)) < ROWS

    assert place(tmp_path).prepare().plan is not None


def test_a_token_for_pictures_needs_no_embedding_as_long_as_no_row_holds_it(tmp_path: Path) -> None:
    # A token without an embedding that is named for pictures, as Gemma 3 has one
    run = place(tmp_path)
    with_tokens(tmp_path / "model", ROWS + 1)
    path = tmp_path / "model" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    token = json.loads((tmp_path / "model" / "tokenizer.json").read_text())["added_tokens"][-1]["content"]
    path.write_text(json.dumps({**settings, "image_token": token}))
    assert run.prepare().plan is not None
    # The template writes it into every row
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(token + template.read_text())

    error = refusal(place(tmp_path, runToken="2"))

    assert f"rows hold the token {ROWS}" in error.message


CONTRADICTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "fewer embeddings than the configuration says": (
        lambda model: weights(model, model__embed_tokens__weight=(400, 32)),
        "says vocab_size 512 and hidden_size 32, but the embeddings in its weights are 400 x 32",
    ),
    "another width": (
        lambda model: configured(model, hidden_size=64),
        "says vocab_size 512 and hidden_size 64, but the embeddings in its weights are 512 x 32",
    ),
    "fewer layers": (
        lambda model: configured(model, num_hidden_layers=3),
        "names 3 as num_hidden_layers, but its weights hold 2",
    ),
    "a padding token without embedding": (
        lambda model: configured(model, pad_token_id=512),
        "config.json of microsoft/Phi-4-mini-instruct has pad_token_id 512, but the model has only 512 embeddings",
    ),
    "a stop token without embedding": (
        lambda model: (model / "generation_config.json").write_text('{"eos_token_id": [1, 600]}') and None,
        "generation_config.json of microsoft/Phi-4-mini-instruct has eos_token_id 600",
    ),
    "a vocabulary below 0": (lambda model: configured(model, vocab_size=-5), "a vocab_size that is no number from 1"),
    "a width of 10**30": (lambda model: configured(model, hidden_size=10**30), "a hidden_size that is no number"),
    "layers that are a truth": (lambda model: configured(model, num_hidden_layers=True), "a num_hidden_layers that"),
    "a context below 0": (lambda model: configured(model, max_position_embeddings=-1), "a max_position_embeddings"),
    "layers of another width": (
        lambda model: configured(model, intermediate_size=96),
        "says intermediate_size 96, so one side of model.layers.0.mlp.gate_proj.weight is 96, but it is 64 x 32",
    ),
    "other heads": (
        lambda model: configured(model, head_dim=8, num_key_value_heads=4),
        "says 4 num_key_value_heads of head_dim 8",
    ),
    "no linear layer": (
        lambda model: write_safetensors(
            model / "model.safetensors", {"model.embed_tokens.weight": (512, 32), "lm_head.weight": (512, 32)}
        ),
        "hold no linear layer that an adapter could go on",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_files_that_contradict_each_other_are_refused(case: str, tmp_path: Path) -> None:
    spoil, message = CONTRADICTIONS[case]
    run = place(tmp_path)
    spoil(tmp_path / "model")

    error = refusal(run)

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert message in error.message
    assert error.hint


def _long_rows(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(lines(chat(f"Question {n}?", "word " * 200) for n in range(40)))


def test_rows_beyond_the_context_are_told_with_both_numbers_until_they_are_cut(tmp_path: Path) -> None:
    _long_rows(tmp_path)
    save_model(tmp_path / "model", max_position_embeddings=128)
    training = {"epochs": 1, "maxLength": 1024}

    first = place(tmp_path, training=training).prepare()
    again = place(tmp_path, training=training).prepare()

    for report in (first, again):
        (warning,) = [warning for warning in report.warnings if "longest row" in warning]
        assert report.plan is not None
        assert report.plan.memory is not None
        assert f"has {report.plan.memory.row_tokens:,} tokens, more than the 128" in warning
        assert "set training.maxLength to 128" in warning
    cut = place(tmp_path, training={**training, "maxLength": 128}).prepare()
    assert not [warning for warning in cut.warnings if "longest row" in warning]


def test_a_row_behind_the_last_learned_position_is_refused_until_it_is_cut(tmp_path: Path) -> None:
    _long_rows(tmp_path)
    save_model(tmp_path / "model", max_position_embeddings=128)
    weights(tmp_path / "model", model__embed_positions__weight=(128, 32))

    error = refusal(place(tmp_path, training={"epochs": 1, "maxLength": 1024}))

    assert error.exit_code is ExitCode.BAD_CONFIG
    assert error.param == "spec.training.maxLength"
    assert error.hint == "set training.maxLength to 128 at most"
    assert place(tmp_path, training={"epochs": 1, "maxLength": 128}).prepare().plan


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({}, None),
        ({"max_position_embeddings": 4096}, 4096),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16384),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 32768,
                "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        ({"max_position_embeddings": 32768, "rope_parameters": {"full_attention": {"factor": 8.0}}}, 32768),
        ({"max_position_embeddings": 32768, "rope_scaling": {"factor": float("nan")}}, 32768),
        ({"max_position_embeddings": 32768, "rope_scaling": {"factor": 1e300}}, 32768),
        (
            {"max_position_embeddings": 32768, "rope_scaling": {"factor": 2, "original_max_position_embeddings": -1}},
            32768,
        ),
    ],
)
def test_the_context_is_what_positions_and_their_scaling_say(config: dict[str, Any], context: int | None) -> None:
    assert shape.context_length(config) == context
