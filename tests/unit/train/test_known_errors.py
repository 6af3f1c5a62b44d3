"""Each known error of common fine-tuning recipes, and the test that would catch it here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
_MASKS = "unit/data/test_masking.py"
_BASE = "unit/train/test_base_and_adapter.py"
_FREE = "unit/train/test_padding_free.py"
_PLANS = "unit/train/test_rows_and_plans.py"
_LIFE = "trainer/train/test_life_of_a_run.py"
_FAIL = "trainer/train/test_failures.py"

KNOWN_ERRORS = {
    "labels equal the input: padding and prompt are learned": (
        _MASKS,
        "test_every_answer_with_its_stop_token_and_nothing_else_is_a_target",
    ),
    "the stop token is masked with the padding: answers never end": (
        _MASKS,
        "test_every_answer_with_its_stop_token_and_nothing_else_is_a_target",
    ),
    "rows are padded to the longest length": (_FREE, "test_loss_and_gradients_equal_the_padded_reference"),
    "the template's text is tokenised with special tokens again: two at the start": (
        _MASKS,
        "test_special_tokens_are_written_once",
    ),
    "a row is cut until nothing is left to learn": (
        _MASKS,
        "test_rows_are_cut_and_counted_and_dropped_without_a_target",
    ),
    "float16 where bfloat16 exists": (_PLANS, "test_the_number_format_follows_the_hardware"),
    "the 4-bit compute type is left at its default": (_PLANS, "test_the_4_bit_computation_is_in_the_models_format"),
    "the model is spread over devices": (_PLANS, "test_the_model_is_on_one_device"),
    "names of modules that the model does not have": (
        _BASE,
        "test_a_name_that_matches_nothing_is_refused_with_the_names_that_exist",
    ),
    "the best evaluation lies between two checkpoints and is lost": (
        _BASE,
        "test_the_best_adapter_is_kept_also_between_two_checkpoints",
    ),
    "test rows are also trained on": (
        "unit/data/test_splits.py",
        "test_a_test_row_that_is_also_trained_on_is_named_with_both_places",
    ),
    "the evaluation loss is a mean of means": (_FREE, "test_evaluation_does_not_depend_on_the_batch_size"),
    "the loss depends on accumulation": (
        _FREE,
        "test_loss_and_gradients_do_not_depend_on_the_split_into_micro_batches",
    ),
    "the cache is on in training and off in generation": (
        _FREE,
        "test_generation_uses_the_cache_and_training_does_not",
    ),
    "checkpointing that needs gradients of the input": (_PLANS, "test_checkpointing_is_not_reentrant"),
    "a reporting integration that is not installed": (_PLANS, "test_nothing_is_reported_to_third_parties"),
    "SIGTERM ends with success and a partial adapter": (_LIFE, "test_sigterm_loses_no_step"),
    "a killed process begins anew": (_LIFE, "test_killed_again_and_again_it_gives_the_same_adapter"),
    "early stopping forgets its count": (_BASE, "test_patience_counts_on_after_a_resume"),
    "the adapter without tokenizer and template, its base a path": (
        _LIFE,
        "test_a_run_ends_with_a_published_adapter_and_true_figures",
    ),
    "several visible GPUs without a launcher": (
        "trainer/train/test_several_processes.py",
        "test_the_same_losses_and_the_same_adapter_as_one_process",
    ),
    "4-bit gradients on a CPU are wrong after an evaluation": (
        _BASE,
        "test_coded_weights_on_the_cpu_give_right_gradients_also_after_an_evaluation",
    ),
    "the loss becomes NaN and training goes on": (
        _FAIL,
        "test_a_loss_that_is_not_a_number_ends_the_run_with_its_step",
    ),
    "nothing is trained and nothing says so": (
        _FAIL,
        "test_an_adapter_that_gets_no_gradient_ends_the_run_at_the_first_step",
    ),
}


@pytest.mark.parametrize("error", KNOWN_ERRORS)
def test_a_test_would_catch_it(error: str) -> None:
    file, name = KNOWN_ERRORS[error]
    tree = ast.parse((TESTS / file).read_text())
    assert any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body), f"{file}::{name}"
