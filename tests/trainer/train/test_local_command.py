"""`lora-trainer run`: one command from a YAML to an adapter, stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import GenerationConfig

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST, MODEL_CARD
from support.local_runs import local_run
from support.tiny_models import byte_tokenizer
from support.train_runs import STEPS


@pytest.mark.slow
def test_stopped_and_killed_the_same_command_goes_on(tmp_path: Path) -> None:
    # A run on this machine
    run = local_run(tmp_path, gpus=0)
    # It is stopped after step 5, and killed after step 10, while the checkpoint of step 8 may be on its way
    stopped, killed = run.run_forked(termAt=5), run.run_forked(killAt=10)
    # The first says how to go on, and the third command finishes
    assert stopped.code == ExitCode.CHECKPOINTED
    assert "the same command goes on" in stopped.output
    assert killed.steps == [6, 7, 8, 9, 10]
    finished = run.run_forked()
    assert finished.code == ExitCode.DONE, finished.output
    assert finished.steps in (list(range(first, STEPS + 1)) for first in (6, 9))
    assert f"adapter: file://{run.published}" in finished.output


@pytest.mark.slow
def test_the_adapter_tells_servers_where_its_answers_end(tmp_path: Path) -> None:
    # A model whose template ends turns with <|im_end|> (2), which neither tokenizer nor generation config names
    run = local_run(tmp_path, gpus=0, lora__r=4, shape={"max_position_embeddings": 16})
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = "<s>"
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text('{"eos_token_id": 1, "top_p": 0.5}')
    # It is trained
    ended = run.run_forked()
    # The adapter's generation config ends answers there, and else is that of the base
    assert ended.code == ExitCode.DONE, ended.output
    generation = json.loads((run.published / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [2, 1]
    assert generation["top_p"] == 0.5
    assert GenerationConfig.from_pretrained(run.published).eos_token_id == [2, 1]
    # User and reader are told, with a rank that servers take
    assert "note: answers end at <|im_end|>, where servers of the base model do not stop by themselves" in ended.output
    card = (run.published / MODEL_CARD).read_text()
    assert "--max-lora-rank 8 --generation-config path/to/this/folder --lora-modules" in card
    assert "stop_token_ids: [2]" in card
    # The reader also of what prepare warned of
    assert "more than the 16 that example/tiny was made for" in card
    manifest = json.loads((run.published / MANIFEST).read_text())
    assert manifest["requiredMaxLoraRank"] == 8
    assert {each["server"]: each["loads"] for each in manifest["serving"]} == dict.fromkeys(
        ["vLLM", "SGLang", "TGI, LoRAX", "llama.cpp", "Ollama", "transformers with PEFT"], "Yes"
    )
    assert "| vLLM | Yes | --enable-lora |" in (run.published / MODEL_CARD).read_text()


@pytest.mark.slow
def test_out_of_memory_halves_the_rows_of_a_pass(tmp_path: Path) -> None:
    run = local_run(tmp_path, gpus=0)
    ended = run.run(memoryFor=2)
    assert ended.code == ExitCode.DONE, ended.output
    assert "rows in a forward pass: 4 &gt; 2" in run.report()


@pytest.mark.slow
def test_it_goes_on_from_an_adapter_on_this_machine(tmp_path: Path) -> None:
    parent = local_run(tmp_path / "parent", gpus=0, training__maxSteps=4)
    assert parent.run_forked().code == ExitCode.DONE

    goes_on = {"from": {"adapter": f"file://{parent.published}"}}
    child = local_run(tmp_path / "child", gpus=0, training__maxSteps=4, **goes_on)
    ended = child.run_forked()

    assert ended.code == ExitCode.DONE, ended.output
    assert child.final()["parentTestLoss"] == parent.final()["testLoss"]
    assert "of the adapter that it goes on from: " in ended.output


def test_a_model_that_does_not_fit_ends_in_a_remedy(tmp_path: Path) -> None:
    ended = local_run(tmp_path, gpus=0).run_forked(loadMemory=True)
    assert ended.code == ExitCode.CUDA_OUT_OF_MEMORY
    assert "Use a GPU with more memory" in ended.output.splitlines()[-1]


def test_a_defect_ends_in_words_and_a_code(tmp_path: Path) -> None:
    ended = local_run(tmp_path, gpus=0).run_forked(crashAt=2)
    assert ended.code == ExitCode.INTERNAL
    assert ended.output.splitlines()[-1] == "error: internal error: ZeroDivisionError; the log has the details"
