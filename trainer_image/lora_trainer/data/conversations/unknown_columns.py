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
_QUESTIONS = (
    "prompt",
    "question",
    "query",
    "user",
    "instruction",
    "problem",
    "input",
    "dialogue",
    "document",
    "article",
    "context",
)
_ANSWERS = ("completion", "answer", "response", "output", "target", "assistant", "solution", "label", "summary")
_CONVERSATIONS = {"messages", "conversations"}
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
    elif method == "kto" and (label := next((name for name, said in row.items() if isinstance(said, bool)), None)):
        hint = (
            f"where {label[:_LONGEST_NAME]} says what is wanted, name it as dataset.columns.label, and the columns with"
        )
        hint += " question and answer as prompt and completion; a whole conversation is written as these two"
    elif {*_CONVERSATIONS, "completion", "output", "response"} & names:
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
    return _list_of_objects(row) or _row_in_object(row) or _texts(row)


def _list_of_objects(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Look for a column that holds the turns of a conversation, or all rows, and say so; None: there is none."""
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and name.isidentifier():
            if {"role", "from"} & value[0].keys():
                return _turns_in(name, value[0], row)
            if _is_row(value[0]) or all(isinstance(other, list) for other in row.values()):
                return f"; rows seem to be in the list {name}", f"write one row a line: jq -c '.{name}[]'"
    return None


def _turns_in(name: str, turn: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, str]:
    """Say how a column with turns is named: it is a conversation, or only what is asked, with the answer beside it."""
    if isinstance(turn.get("parts"), list):
        return "; turns have parts, as Gemini has them", "write messages: turns with role (user, assistant) and content"
    answer = next((other for other in _ANSWERS if isinstance(row.get(other), str | list) and other != name), None)
    if answer is not None:
        return "", f"set dataset.columns: {{prompt: {name}, completion: {answer}}}"
    return "", f"set dataset.columns: {{messages: {name}}}"


def _row_in_object(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Look for a column that holds a row by itself, as the requests that services keep; None: there is none."""
    for name, value in row.items():
        if isinstance(value, dict) and _CONVERSATIONS & value.keys() and name.isidentifier():
            ends = "" if any(_is_answer(turn) for turn in _turns_of(value)) else ", and add the answer to its messages"
            return f"; the conversation is in the object {name}", f"write it as the row: jq -c '.{name}'{ends}"
    return None


def _turns_of(value: Mapping[str, Any]) -> list[Any]:
    found = next((value[name] for name in sorted(_CONVERSATIONS & value.keys())), None)
    return found if isinstance(found, list) else []


def _is_answer(turn: Any) -> bool:
    return isinstance(turn, dict) and (turn.get("role") == "assistant" or turn.get("from") == "gpt")


def _is_row(value: Mapping[str, Any]) -> bool:
    """Tell whether an object in a list is a row by itself, as where a file has its version beside a list of rows."""
    return bool(_CONVERSATIONS & value.keys()) or bool(set(_QUESTIONS) & value.keys() and set(_ANSWERS) & value.keys())


def _quoted(name: str) -> str:
    """Write a name as YAML reads it back."""
    return name if name == name.strip() else f"'{name}'"


def _texts(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Look for columns of texts that other files use for question and answer, or for documents."""
    texts = [name for name, value in row.items() if isinstance(value, str) and len(name) <= _LONGEST_NAME]
    named = {name.strip(" ").lower(): name for name in texts}
    question = next((named[name] for name in _QUESTIONS if name in named), None)
    answer = next((named[name] for name in _ANSWERS if name in named and named[name] != question), None)
    if question and answer:
        columns = f"{{prompt: {_quoted(question)}, completion: {_quoted(answer)}}}"
        return "", f"where these are question and answer, set dataset.columns: {columns}"
    if isinstance(row.get("text"), str):
        return "", "where text is a document to be learned whole, set dataset.format: text"
    if len(row) == 1 and any(mark in next(iter(row)) for mark in ";\t|"):
        return "; the columns are not separated by commas", "write the file with commas between the fields"
    return "", None
