"""Our targets equal TRL's masks token by token.

The known difference: TRL's marks also take in what the template writes around an answer that no model is asked for at
inference: the line break in front of it (Qwen) and behind its stop token, and a closing end-of-text token (Phi).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import trl
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template

from lora_trainer.data import pipeline, prepared
from lora_trainer.data.reading.dataset import Dataset as DatasetFiles
from lora_trainer.data.template.chat_template import ChatTemplate
from support.chat_models import FAMILIES, tokenizer
from support.prepared_data import chat, data_file, lines, run, spec

CONVERSATIONS = (
    ("I have a fever.", "Drink water.\n\nRest."),
    ("I have a fever.", "Drink water.", "And a cough?", "See a doctor.\n\nToday.", "Thanks", "You are welcome 🚑."),
    ("yes", "yes", "yes", "yes"),
    ("Größe?", '{"urgency": "high", "symptoms": ["chest pain"]}'),
    ("def f(x):\n    return x", "    indented answer\n"),
)
#: The label of a token that does not count.
IGNORED = -100
#: Families for which TRL ships a template with generation marks; it knows them by the exact published text.
TRL_TEMPLATES = {"qwen2.5": "qwen2_5", "llama3": "llama3", "phi3": "phi3", "gemma": "gemma"}


def _published(family: str) -> Any:
    """The family's tokenizer, with the template as TRL ships it."""
    path = Path(trl.__file__).parent / "chat_templates" / f"{TRL_TEMPLATES[family]}.jinja"
    known = tokenizer(family)
    return type(known)(
        tokenizer_object=known._tokenizer,
        pad_token=known.pad_token,
        eos_token=known.eos_token,
        bos_token=known.bos_token,
        chat_template=path.read_text(),
    )


def _trl_rows(folder: Path, processing: Any, rows: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    """The rows as SFTTrainer would train on them."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(processing), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
        )
    )
    arguments = SFTConfig(str(folder), use_cpu=True, bf16=False, report_to="none", max_length=None, **options)
    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(rows), processing_class=processing)
    return [
        {"input_ids": row["input_ids"], "mask": [label != IGNORED for label in row["labels"]]}
        for row in trainer.train_dataset
    ]


def _ours(folder: Path, processing: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    template = ChatTemplate(processing, "published")
    template.check()
    pipeline.run(spec(), DatasetFiles([data_file(folder, "a.jsonl", lines(rows))]), template, folder)
    return list(pq.read_table(folder / prepared.TRAIN).to_pylist())


def _without_decoration(processing: Any, row: dict[str, Any], mask: list[bool]) -> list[bool]:
    """TRL's mask less the white space next to each run's ends and what stands behind the stop token."""
    kept = list(mask)
    ids = row["input_ids"]
    special = set(processing.all_special_ids) | {i for i, t in processing.added_tokens_decoder.items() if t.special}
    starts = [i for i, flag in enumerate(kept) if flag and not (i and kept[i - 1])]
    for start in starts:
        end = start
        while end < len(mask) and mask[end]:
            end += 1
        stop = next(i for i in range(start, end) if ids[i] in special)
        kept[stop + 1 : end] = [False] * (end - stop - 1)
        if processing.decode([ids[start]]) == "\n":
            kept[start] = False
    return kept


@pytest.mark.parametrize("family", TRL_TEMPLATES)
def test_masks_of_whole_conversations_equal_those_of_marked_templates(family: str, tmp_path: Path) -> None:
    processing = _published(family)
    rows = [chat(*texts) for texts in CONVERSATIONS]
    assert get_training_chat_template(processing) is not None

    theirs = _trl_rows(tmp_path / "trl", processing, rows, assistant_only_loss=True)
    ours = _ours(tmp_path, _published(family), rows)

    for our, their in zip(ours, theirs, strict=True):
        assert our["input_ids"] == their["input_ids"]
        assert our["targets"] == _without_decoration(processing, their, their["mask"])


@pytest.mark.parametrize("family", ["chatml", "smollm2", "mistral", "qwen2.5", "llama3", "phi3", "gemma"])
def test_masks_of_last_answers_equal_those_of_prompt_and_completion(family: str, tmp_path: Path) -> None:
    processing = tokenizer(family)
    rows = [chat(*texts) for texts in CONVERSATIONS]
    pairs = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows]

    theirs = _trl_rows(tmp_path / "trl", processing, pairs, completion_only_loss=True)
    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], family=family)

    for our, their in zip(result.rows(), theirs, strict=True):
        assert our["input_ids"] == their["input_ids"]
        start = their["mask"].index(True)
        assert our["targets"][start:] == _without_decoration(processing, their, their["mask"])[start:]
        assert not our["targets"][start - 1]


def test_the_families_are_the_ones_that_the_oracle_must_cover() -> None:
    assert {"chatml", "qwen2.5", "llama3", "phi3", "gemma", "mistral", "smollm2"} <= set(FAMILIES)
