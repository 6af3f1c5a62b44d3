"""Targets are what the assistant says, with the stop token, in every turn of every template family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from lora_contract.exit_codes import ExitCode
from lora_trainer.data import prepared
from lora_trainer.data.rows import Conversation, Message
from lora_trainer.data.template import masking, unrolling
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.template_files import load
from lora_trainer.errors import TrainerError
from support import chat_models
from support.chat_models import FAMILIES, save_model, tokenizer
from support.prepared_data import chat, data_file, lines, run, template

TURNS = ("I have a fever.", "Drink water.\n\nRest.", "And a cough?", "See a doctor.")
STOPS = {"llama3": "<|eot_id|>", "phi3": "<|end|>", "gemma": "<end_of_turn>", "mistral": "</s>"}


def _said(family: str, row: dict[str, Any]) -> list[str]:
    """The runs of targets, decoded."""
    runs: list[list[int]] = []
    before = False
    for token, target in zip(row["input_ids"], row["targets"], strict=True):
        if target:
            runs = [*runs, [token]] if not before else [*runs[:-1], [*runs[-1], token]]
        before = target
    return [tokenizer(family).decode(run_of_targets) for run_of_targets in runs]


def _rows(folder: Path, family: str, rows: list[Any], **changes: Any) -> list[dict[str, Any]]:
    return run(folder, [data_file(folder, "a.jsonl", lines(rows))], family=family, **changes).rows()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_answer_with_its_stop_token_and_nothing_else_is_a_target(family: str, tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, family, [chat(*TURNS)])

    stop = STOPS.get(family, "<|im_end|>")
    space = " " if family == "mistral" else ""
    assert _said(family, row) == [f"{space}{TURNS[1]}{stop}", f"{space}{TURNS[3]}{stop}"]
    assert row["length"] == len(row["input_ids"]) == len(row["targets"])
    assert row["targets"][0] is False


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_are_written_once(family: str, tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, family, [chat(*TURNS)])

    text = tokenizer(family).decode(row["input_ids"])
    messages = [{"role": role, "content": turn} for role, turn in zip(["user", "assistant"] * 2, TURNS, strict=True)]
    assert text == tokenizer(family).apply_chat_template(messages, tokenize=False)
    if FAMILIES[family].bos:
        assert text.count(str(FAMILIES[family].bos)) == 1


@pytest.mark.parametrize("answer", ["\n\nstarts with line breaks", "   spaces", "ends with space \n\n", "🚑 東京", "x"])
@pytest.mark.parametrize("family", ["chatml", "llama3", "phi3", "mistral"])
def test_white_space_at_the_seams_does_not_move_the_mask(family: str, answer: str, tmp_path: Path) -> None:
    # one row, or two where a token of line breaks would reach from the prompt into the first answer
    rows = _rows(tmp_path, family, [chat("Question?", answer, "More?", answer)])

    said = [run for row in rows for run in _said(family, row)]
    assert len(said) == 2
    assert all(answer.strip() in text and text.endswith(STOPS.get(family, "<|im_end|>")) for text in said)
    assert not any("Question" in text or "assistant" in text for text in said)


def test_an_answer_that_repeats_the_question_is_found_in_its_own_turn(tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, "chatml", [chat("yes", "yes", "yes", "yes")])

    assert _said("chatml", row) == ["yes<|im_end|>"] * 2


def test_all_tokens_but_the_first_are_targets_when_the_spec_says_so(tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, "llama3", [chat(*TURNS)], training__trainOn="all")

    assert row["targets"] == [False] + [True] * (row["length"] - 1)


def test_rows_are_cut_and_counted_and_dropped_without_a_target(tmp_path: Path) -> None:
    rows = [chat("short", "A long answer. " * 40), chat("A long question? " * 40, "short"), chat("Q", "A")]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], training__maxLength=64)

    assert [row["length"] <= 64 and any(row["targets"]) for row in result.rows()] == [True, True]
    assert result.profile.truncated_rows == 1
    assert result.profile.rows_without_target == 1
    assert result.profile.longest_row > 64


def test_a_test_row_carries_the_prompt_of_its_last_answer_and_the_answer(tmp_path: Path) -> None:
    file = data_file(tmp_path, "t.jsonl", lines([chat(*TURNS)]))
    main = data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))

    result = run(tmp_path, [main], test=[file], family="llama3", dataset__testUri="s3://datasets/t.jsonl")

    (row,) = result.rows(prepared.TEST)
    prompt = tokenizer("llama3").decode(row["prompt_ids"])
    assert prompt.endswith("And a cough?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    assert row["reference"] == TURNS[3]
    assert tokenizer("llama3").decode(row["input_ids"]).startswith(prompt)


def test_the_profile_shows_the_first_row_with_its_targets(tmp_path: Path) -> None:
    profile = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))]).profile

    assert [(part.text, part.target) for part in profile.first_example] == [
        ("<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", False),
        ("A<|im_end|>", True),
        ("\n", False),
    ]
    assert sum(profile.histogram_counts) == 1
    assert profile.target_tokens == sum(1 for _ in profile.first_example) - 1


def _template(source: str) -> ChatTemplate:
    made = tokenizer("chatml")
    changed = type(made)(tokenizer_object=made._tokenizer, eos_token="<|im_end|>", chat_template=source)
    return ChatTemplate(changed, "example/model")


def _conversation(*texts: str) -> tuple[Message, ...]:
    return tuple(Message("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(texts))


def _unrolled(template: ChatTemplate, *texts: str) -> list[unrolling.Rendered]:
    return list(unrolling.unroll(template, Conversation(_conversation(*texts)), "assistant"))


def test_a_template_that_changes_earlier_turns_makes_a_row_of_each_answer() -> None:
    reasoning = _template(chat_models.REASONING)
    reasoning.check()

    first, second = _unrolled(reasoning, *TURNS)

    empty = "<think>\n\n</think>\n\n"
    for row, answer in ((first, TURNS[1]), (second, TURNS[3])):
        assert [row.text[start:end] for start, end in row.spans] == [f"{empty}{answer}<|im_end|>"]
        assert row.text.startswith(row.prompt)
    assert TURNS[1] in second.prompt
    assert "<think>" not in second.prompt


def test_a_template_without_a_stop_token_is_refused_with_its_reason() -> None:
    endless = _template("{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
                        "{% if add_generation_prompt %}assistant: {% endif %}")  # fmt: skip

    with pytest.raises(unrolling.AnswerNotFound, match="writes no stop token behind turn 2"):
        _unrolled(endless, "Q", "A")


BROKEN_TEMPLATES = {
    "{{ raise_exception('tools only') }}": "refuses a plain question and answer: tools only",
    "{% for m in messages %}{{ m.content": "refuses a plain question and answer",
    "{{ messages[0].content }}": "leaves out what the assistant says",
    "{% for m in messages %}<|im_start|>{{ m.role + m.content }}<|im_end|>{% endfor %}": "as it is asked for",
}


@pytest.mark.parametrize("source", BROKEN_TEMPLATES)
def test_a_template_that_cannot_be_trained_with_is_refused_once_for_the_model(source: str) -> None:
    with pytest.raises(TrainerError, match="the chat template of example/model") as raised:
        _template(source).check()

    assert BROKEN_TEMPLATES[source] in raised.value.message
    assert raised.value.exit_code is ExitCode.UNSUPPORTED


def test_a_template_cannot_reach_the_machine() -> None:
    escape = "{{ messages.__class__.__mro__[1].__subclasses__() }}"

    with pytest.raises(TrainerError, match="refuses a plain question and answer"):
        _template(escape).check()


@pytest.mark.parametrize("missing", ["tokenizer.json", "chat_template.jinja"])
def test_a_model_without_tokenizer_or_template_is_refused(missing: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / missing).unlink()

    with pytest.raises(TrainerError, match=r"has no (tokenizer\.json|chat template)") as raised:
        load(folder, "example/model")

    assert raised.value.exit_code is ExitCode.UNSUPPORTED


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")

    with pytest.raises(TrainerError, match="has tokenizer files that cannot be read"):
        load(folder, "example/model")


@pytest.mark.parametrize("saved", ["truncation", "padding"])
def test_a_length_that_was_saved_with_the_tokenizer_neither_cuts_nor_fills_rows(saved: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    file = folder / "tokenizer.json"
    described = Tokenizer.from_file(str(file))
    if saved == "truncation":
        described.enable_truncation(max_length=8)
    else:
        described.enable_padding(length=200)
    described.save(str(file))

    prompts = [row.prompt for row in _unrolled(template("chatml"), *TURNS)]
    loaded = load(folder, "example/model")
    found = masking.encode_prompts(loaded, _unrolled(loaded, *TURNS))

    assert found == [tokenizer("chatml").encode(prompt, add_special_tokens=False) for prompt in prompts]


@pytest.mark.parametrize("inside", ["", "<|im_end|>", "<|im_end|>\n"])
def test_marks_of_the_template_move_nothing(inside: str) -> None:
    rest = "<|im_end|>\n".removeprefix(inside)
    source = (
        "{% for m in messages %}<|im_start|>{{ m.role + '\n' }}"
        "{% if m.role == 'user' %}{{ m.content + '<|im_end|>\n' }}"
        f"{{% else %}}{{% generation %}}{{{{ m.content + {inside!r} }}}}{{% endgeneration %}}{{{{ {rest!r} }}}}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )

    (row,) = _unrolled(_template(source), *TURNS)

    assert [row.text[start:end] for start, end in row.spans] == [f"{TURNS[1]}<|im_end|>", f"{TURNS[3]}<|im_end|>"]


def test_a_template_that_writes_the_date_gives_the_same_rows_every_day() -> None:
    dated = _template("{{ date_string if date_string is defined else strftime_now('%f') }}" + chat_models.CHATML)

    assert dated.render(_conversation("Q", "A")).startswith("26 Jul 2024")


def test_loading_a_model_folder_gives_the_families_template(tmp_path: Path) -> None:
    loaded = load(save_model(tmp_path / "model", "phi3"), "example/phi3")

    assert loaded.render(_conversation("Q", "A")) == template("phi3").render(_conversation("Q", "A"))
    assert loaded.keeps_system
