"""Answers end where the rows end them: while measured, and for whoever serves the adapter."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, GPT2Config

from lora_trainer.evaluation import stops
from lora_trainer.evaluation.generate import Answer, answer
from lora_trainer.model.forward import choose
from support.tiny_models import byte_tokenizer, ragged_rows, tiny

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13]]


def test_the_rows_say_it_first_and_servers_of_the_base_stop_where_its_files_say() -> None:
    model, tokenizer = tiny("llama"), byte_tokenizer()
    model.generation_config.eos_token_id = [1, 2]

    found = stops.find(model, tokenizer, [3, 2])

    assert found.all == [3, 2, 1]
    assert found.unserved == [3]
    assert stops.find(model, tokenizer, []).unserved == []


def test_an_answer_ends_at_each_of_the_stops() -> None:
    # What a model says to a prompt
    model = tiny("llama")
    prompt = torch.tensor([PROMPTS[1]])
    said = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False)[0, 6:]
    stop = int(said[5])
    before = said[: said.tolist().index(stop) + 1]
    forward_pass, _ = choose(model, ragged_rows(), pad_token_id=0, autocast=None)
    # When its sixth token ends answers, nothing behind it is said
    (ended,) = answer(forward_pass, model, byte_tokenizer(), PROMPTS[1:], max_new_tokens=12, stops=[0, stop])
    assert ended.text == byte_tokenizer().decode(before, skip_special_tokens=True).strip()
    assert ended.tokens == byte_tokenizer().decode(before[:-1])


def test_a_model_with_a_table_of_positions_answers_as_long_as_it_has_one() -> None:
    config = GPT2Config(vocab_size=320, n_positions=8, n_embd=32, n_layer=1, n_head=4, bos_token_id=1, eos_token_id=2)
    model = AutoModelForCausalLM.from_config(config)
    forward_pass, _ = choose(model, ragged_rows(longest=8), pad_token_id=0, autocast=None)
    prompts = [[5] * 6, [6] * 8]

    answers = answer(forward_pass, model, byte_tokenizer(), prompts, max_new_tokens=50, stops=[2])

    assert answers[1] == Answer()
    assert len(answers) == 2
