"""Documents and rows that are tokenised already: nothing of them is lost, and no chat template is needed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import prepared
from lora_trainer.errors import TrainerError
from support.chat_models import save_model, tokenizer
from support.prepare_orders import place
from support.prepared_data import chat, data_file, lines, run
from support.specs import changed

TEXT: dict[str, Any] = {"dataset__format": "text"}
TOKENS: dict[str, Any] = {"dataset__format": "tokens"}
CHATML: PreTrainedTokenizerFast = tokenizer("chatml")
EOS = CHATML.eos_token_id


def _ids(text: str) -> list[int]:
    ids: list[int] = CHATML(text, add_special_tokens=False)["input_ids"]
    return ids


def test_every_token_of_a_document_is_learned_and_its_end_too(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{"text": "Once upon a time.", "url": "x"}, {"text": "The end."}]))

    result = run(tmp_path, [file], **TEXT)

    rows = result.rows()
    assert [row["input_ids"] for row in rows] == [[*_ids("Once upon a time."), EOS], [*_ids("The end."), EOS]]
    assert all(row["targets"] == [False] + [True] * (row["length"] - 1) for row in rows)
    assert result.profile.format == "text (columns text)"
    assert result.profile.ignored_columns == ["url"]
    assert result.profile.samples[0][0].content == "Once upon a time."


def test_a_long_document_becomes_rows_that_predict_each_token_once(tmp_path: Path) -> None:
    text = "".join(f"{n}, " for n in range(200))
    file = data_file(tmp_path, "a.jsonl", lines([{"text": text}]))

    rows = run(tmp_path, [file], training__maxLength=64, **TEXT).rows()

    assert len(rows) > 5
    assert all(row["length"] <= 64 for row in rows)
    learned = [token for row in rows for token, target in zip(row["input_ids"], row["targets"], strict=True) if target]
    assert [rows[0]["input_ids"][0], *learned] == [*_ids(text), EOS]


def test_all_rows_of_a_document_are_in_one_split(tmp_path: Path) -> None:
    documents = [{"text": f"{n}: " + "word " * 60} for n in range(60)]
    split = {"validation": 0.3, "test": 0.3, "seed": 1}

    result = run(
        tmp_path,
        [data_file(tmp_path, "a.jsonl", lines(documents))],
        training__maxLength=64,
        dataset__split=split,
        **TEXT,
    )

    held = [result.rows(name) for name in (prepared.TRAIN, prepared.VALIDATION, prepared.TEST)]
    per_document = sum(map(len, held)) // 60
    assert all(len(rows) % per_document == 0 and rows for rows in held)


def test_a_held_out_document_asks_for_its_second_half(tmp_path: Path) -> None:
    file = data_file(tmp_path, "t.jsonl", lines([{"text": "First half, second half."}]))
    train = data_file(tmp_path, "a.jsonl", lines([{"text": "Another."}]))

    row = run(tmp_path, [train], test=[file], dataset__testUri="s3://datasets/t.jsonl", **TEXT).rows(prepared.TEST)[0]

    assert row["prompt_ids"] == row["input_ids"][: len(row["prompt_ids"])]
    assert CHATML.decode(row["prompt_ids"]) + row["reference"] == "First half, second half."


def test_repeated_documents_are_left_out(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{"text": "One."}, {"text": "One. "}, {"text": "Two."}]))

    profile = run(tmp_path, [file], **TEXT).profile

    assert (profile.rows["train"], profile.duplicate_rows) == (2, 1)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_rows_of_tokens_are_trained_as_they_are(name: str, tmp_path: Path) -> None:
    rows = [
        {"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8], "attention_mask": [1, 1, 1, 1]},
        {"input_ids": [0, 0, 5, 9], "labels": [-100, -100, 5, 9], "attention_mask": [0, 0, 1, 1]},
    ]
    content = lines(rows) if name.endswith("jsonl") else _parquet(rows)

    result = run(tmp_path, [data_file(tmp_path, name, content)], **TOKENS)

    assert [(row["input_ids"], row["targets"]) for row in result.rows()] == [
        ([5, 6, 7, 8], [False, False, True, True]),
        ([5, 9], [False, True]),
    ]
    assert result.profile.format == "tokens (columns input_ids, labels, attention_mask)"


def test_rows_of_tokens_without_labels_are_learned_whole(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{"input_ids": [5, 6, 7]}]))

    assert run(tmp_path, [file], **TOKENS).rows()[0]["targets"] == [False, True, True]


def test_empty_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    texts = ["= Heading =", "", " \n", "A paragraph.", None]
    file = data_file(tmp_path, "a.jsonl", lines([{"text": text} for text in texts]))

    result = run(tmp_path, [file], **TEXT)

    assert (result.profile.rows["train"], result.profile.empty_documents) == (2, 3)
    assert sum(result.profile.rows_read.values()) == 5


def test_a_dataset_of_empty_documents_has_nothing_to_learn(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{"text": ""}, {"text": " "}]))

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [file], **TEXT)

    assert raised.value.message == "the text of every row is empty: 2 rows read as text (columns text)"


def test_a_held_out_row_of_tokens_asks_for_its_last_answer(tmp_path: Path) -> None:
    prompt, answer = _ids("Q?"), _ids("Yes.")
    row = {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}
    train = data_file(tmp_path, "a.jsonl", lines([{"input_ids": [5, 6, 7]}]))
    test = data_file(tmp_path, "t.jsonl", lines([row]))

    result = run(tmp_path, [train], test=[test], dataset__testUri="s3://datasets/t.jsonl", **TOKENS)

    found = result.rows(prepared.TEST)[0]
    assert (found["prompt_ids"], found["reference"]) == (prompt, "Yes.")


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no text": ({"text": 7}, TEXT, "column 'text' is a number, expected a text"),
    "a special token": ({"text": "a<|im_end|>b"}, TEXT, "column 'text' contains the special token '<|im_end|>'"),
    "half a character": ({"text": "\ud800"}, TEXT, "has half of a surrogate pair"),
    "tokens beyond the vocabulary": (
        {"input_ids": [1, 10**6]},
        TOKENS,
        "input_ids holds 1000000 at position 1, but the tokens of the model are 0 to",
    ),
    "a negative token": ({"input_ids": [1, -3]}, TOKENS, "input_ids holds -3 at position 1"),
    "tokens that are texts": ({"input_ids": ["a"]}, TOKENS, "column 'input_ids' holds a, expected whole numbers"),
    "no tokens": ({"input_ids": []}, TOKENS, "column 'input_ids' is empty"),
    "fewer labels": (
        {"input_ids": [1, 2], "labels": [1]},
        TOKENS,
        "column 'labels' and input_ids differ in length: 1 and 2",
    ),
    "labels that are other tokens": (
        {"input_ids": [1, 2, 3], "labels": [2, 3, -100]},
        TOKENS,
        "labels holds 2 at position 0, where input_ids has 1",
    ),
    "nothing that counts": ({"input_ids": [1, 2], "labels": [1, -100]}, TOKENS, "has no token that counts"),
    "a hole in the mask": (
        {"input_ids": [1, 2, 3], "attention_mask": [1, 0, 1]},
        TOKENS,
        "attention_mask leaves out tokens in the middle",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named(case: str, tmp_path: Path) -> None:
    row, spec, problem = BAD[case]
    good = {"text": "Good."} if spec is TEXT else {"input_ids": [5, 6]}
    content = lines([good]) + json.dumps(row).encode() + b"\n"

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [data_file(tmp_path, "a.jsonl", content)], **spec)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.message.startswith(f"a.jsonl, line 2: {problem}")


@pytest.mark.parametrize(
    ("row", "advice"), [({"text": "A."}, "dataset.format: text"), ({"input_ids": [1]}, "dataset.format: tokens")]
)
def test_plain_rows_are_read_as_such_only_where_the_spec_says_so(
    row: dict[str, Any], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([row]))])

    assert advice in str(raised.value.hint)


def test_a_base_model_without_a_chat_template_learns_documents(tmp_path: Path) -> None:
    # A model that has no chat template
    folder = save_model(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "rows.jsonl").write_bytes(lines({"text": f"Document {n}."} for n in range(40)))
    # When documents are prepared for it, they are; conversations are refused as before
    report = place(tmp_path, dataset__format="text").prepare()
    assert report.plan is not None
    assert report.plan.format == "text (columns text)"
    assert report.plan.conversations is report.plan.answers is None
    (tmp_path / "rows.jsonl").write_bytes(lines([chat("Q", "A")]))
    with pytest.raises(TrainerError, match="has no chat template"):
        place(tmp_path).prepare()


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_a_system_prompt_has_no_place_in_plain_rows(kind: str) -> None:
    with pytest.raises(ValueError, match=r"dataset\.systemPrompt has no place"):
        LoRAFineTuneSpec.model_validate(changed({"dataset.format": kind, "dataset.systemPrompt": "You are a nurse."}))
