"""What to tell of rows whose columns fit no format: what they seem to be, and the change that makes them fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_contract import spec_paths
from lora_contract.finetune.method import MethodName
from lora_trainer.errors import TrainerError, bad_data

_EXPECTED = (
    "messages (or conversations), or prompt and completion, or instruction and output (with input where there is one)"
)
_QUESTIONS = ("prompt", "question", "query", "user", "input", "instruction", "problem", "context")
_ANSWERS = ("completion", "answer", "response", "output", "target", "assistant", "solution", "label", "summary")
_LONGEST_NAME = 100


def error(row: Mapping[str, Any], expected: str = _EXPECTED) -> TrainerError:
    """Make the error for rows like this one."""
    names = [name[:_LONGEST_NAME] for name in row]
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    meaning, hint = _meaning(row)
    return bad_data(
        f"columns are {shown}; expected {expected}{meaning}",
        param=spec_paths.DATASET_COLUMNS,
        hint=hint or "name your columns in dataset.columns, or rename them in the file",
    )


_EXPECTED_OF: dict[MethodName, str] = {
    "dpo": "prompt, chosen and rejected; or chosen and rejected as whole conversations; or input, preferred_output and"
    " non_preferred_output",
    "kto": "prompt, completion and label (true: wanted, false: unwanted)",
}


def error_of_preferences(row: Mapping[str, Any], method: MethodName) -> TrainerError:
    """Make the error for rows like this one where a method asks for preferences."""
    names = row.keys()
    hint = "name your columns in dataset.columns, or rename them in the file"
    if method == "dpo" and {"completion", "label"} <= names:
        hint = "these are single answers with a label: set method: {kto: {}}"
    elif method == "kto" and {"chosen", "rejected"} <= names:
        hint = "these are pairs: set method: {dpo: {}}"
    elif {"messages", "conversations", "completion", "output", "response"} & names:
        hint = "these rows say nothing of what is preferred: leave method out to learn their answers as they stand"
    shown = ", ".join(name[:_LONGEST_NAME] for name in list(row)[:20])
    return bad_data(
        f"columns are {shown}; method {method} needs {_EXPECTED_OF[method]}",
        param=spec_paths.DATASET_COLUMNS,
        hint=hint,
    )


def _meaning(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Say what the row seems to be, in words that go on a sentence, and what to do about it."""
    if {"role", "content"} <= row.keys() or {"from", "value"} <= row.keys():
        return "; a row seems to be one turn", "put the turns of each conversation into one row: a list, as messages"
    if {"chosen", "rejected"} <= row.keys() or {"preferred_output", "non_preferred_output"} <= row.keys():
        return (
            "; these are preferences",
            "set method: {dpo: {}} to learn from them; or write prompt and completion, the preferred answer",
        )
    if isinstance(row.get("input_ids"), list):
        return "; a row seems to be tokenised already", "set dataset.format: tokens"
    return _list_of_objects(row) or _texts(row)


def _list_of_objects(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Look for a column that holds the turns of a conversation, or all rows, and say so; None: there is none."""
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and name.isidentifier():
            if {"role", "from"} & value[0].keys():
                return "", f"set dataset.columns: {{messages: {name}}}"
            if _is_row(value[0]) or all(isinstance(other, list) for other in row.values()):
                return f"; rows seem to be in the list {name}", f"write one row a line: jq -c '.{name}[]'"
    return None


def _is_row(value: Mapping[str, Any]) -> bool:
    """Tell whether an object in a list is a row by itself, as where a file has its version beside a list of rows."""
    return bool({"messages", "conversations"} & value.keys()) or bool(
        set(_QUESTIONS) & value.keys() and set(_ANSWERS) & value.keys()
    )


def _texts(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Look for columns of texts that other files use for question and answer, or for documents."""
    question = next((name for name in _QUESTIONS if isinstance(row.get(name), str)), None)
    answer = next((name for name in _ANSWERS if isinstance(row.get(name), str)), None)
    if question and answer:
        named = f"{{prompt: {question}, completion: {answer}}}"
        return "", f"where these are question and answer, set dataset.columns: {named}"
    if isinstance(row.get("text"), str):
        return "", "where text is a document to be learned whole, set dataset.format: text"
    if len(row) == 1 and any(mark in next(iter(row)) for mark in ";\t|"):
        return "; the columns are not separated by commas", "write the file with commas between the fields"
    return "", None
