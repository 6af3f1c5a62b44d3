"""Judging generated answers against references; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from lora_contract.finetune.training import GateSpec
from lora_contract.status import ToolCallsStatus
from lora_trainer.evaluation.tool_calls import right_share


class HeldOutRow(NamedTuple):
    """What is asked of the model, in token ids, and the right answer.

    `tool_calls` are the calls that it makes, as `prepared.calls_as_text` writes them; None: no tools are offered.
    """

    prompt: Sequence[int]
    reference: str
    tool_calls: str | None = None


@dataclass(frozen=True)
class AnswerScores:
    """Shares between 0 and 1; the JSON ones only where every reference is a JSON object.

    `tool_calls` are counted apart (`tool_calls.count`); None where no row that was answered offers tools.
    `length_ratio` is what the function of that name tells.
    """

    exact_match: float
    json_valid: float | None
    json_fields: float | None
    tool_calls: ToolCallsStatus | None = None
    length_ratio: float | None = None


def answered(rows: Iterable[HeldOutRow], samples: int, max_length: int) -> list[HeldOutRow]:
    """Choose the test rows that are answered: the first `samples` whose prompt is shorter than a row may be.

    Memory is planned for rows of `max_length` tokens, and nothing longer was trained on.
    """
    return list(islice((row for row in rows if len(row.prompt) < max_length), samples))


def score(answers: Sequence[str], references: Sequence[str]) -> AnswerScores | None:
    """Compare what answers say, without what they think before that, with references; white space at both ends is none.

    None without answers.
    """
    if not answers:
        return None
    pairs = [(answer.strip(), reference.strip()) for answer, reference in zip(answers, references, strict=True)]
    exact = sum(answer == reference for answer, reference in pairs) / len(pairs)
    wanted = [json_object(reference) for _, reference in pairs]
    if any(item is None for item in wanted):
        return AnswerScores(exact, None, None)
    given = [json_object(answer) for answer, _ in pairs]
    valid = sum(item is not None for item in given) / len(pairs)
    fields = sum(_right_fields(g or {}, w or {}) for g, w in zip(given, wanted, strict=True)) / len(pairs)
    return AnswerScores(exact, valid, fields)


def length_ratio(answers: Sequence[str], references: Sequence[str]) -> float | None:
    """Compute the characters of all answers divided by those of all references; None where these are empty."""
    expected = sum(len(reference.strip()) for reference in references)
    return sum(len(answer.strip()) for answer in answers) / expected if expected else None


def json_object(text: str) -> dict[str, Any] | None:
    """Read a JSON object; None: the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _right_fields(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Compute the share of fields, over those wanted and those given, that are right."""
    names = wanted.keys() | given.keys()
    if not names:
        return 1.0
    return sum(name in given and name in wanted and given[name] == wanted[name] for name in names) / len(names)


def gate_failure(
    gate: GateSpec,
    *,
    test_loss: float | None,
    base_test_loss: float | None,
    scores: AnswerScores | None,
    forgetting_ratio: float | None = None,
    preference_accuracy: float | None = None,
) -> str | None:
    """Say which limit of the gate the adapter missed first; None when it reached all."""
    calls = scores.tool_calls if scores else None
    checks = (
        _loss_missed(gate.max_loss_ratio, test_loss, base_test_loss),
        _forgetting_missed(gate, forgetting_ratio),
        _preferences_missed(gate.min_preference_accuracy, preference_accuracy),
        _share_missed("minExactMatch", "exact match", gate.min_exact_match, scores.exact_match if scores else None),
        _share_missed(
            "minJsonFields", "right JSON fields", gate.min_json_fields, scores.json_fields if scores else None
        ),
        _share_missed("minToolCalls", "right tool calls", gate.min_tool_calls, right_share(calls)),
    )
    return next((missed for missed in checks if missed is not None), None)


def _loss_missed(limit: float | None, test_loss: float | None, base_test_loss: float | None) -> str | None:
    if limit is None:
        return None
    if test_loss is None or not base_test_loss:
        return "gate.maxLossRatio cannot be checked: there are no test rows, or compareWithBase is false"
    ratio = test_loss / base_test_loss
    if ratio <= limit:
        return None
    return (
        f"test loss {test_loss:.4f} is {ratio:.3f} of the base model's {base_test_loss:.4f}, "
        f"above gate.maxLossRatio {limit:g}"
    )


def _forgetting_missed(gate: GateSpec, ratio: float | None) -> str | None:
    limit, source = gate.max_forgetting_ratio, gate.forgetting_source
    if limit is None:
        return None
    if ratio is None:
        why = "compareWithBase is false" if source is None else f"there are no test rows of source {source}"
        return f"gate.maxForgettingRatio cannot be checked: {why}"
    if ratio <= limit:
        return None
    measured_on = "general text" if source is None else f"the test rows of source {source}"
    return f"the loss on {measured_on} is {ratio:.3f} times the base model's, above gate.maxForgettingRatio {limit:g}"


def _preferences_missed(limit: float | None, accuracy: float | None) -> str | None:
    if limit is None:
        return None
    if accuracy is None:
        return "gate.minPreferenceAccuracy cannot be checked: there are no test rows to compare"
    if accuracy >= limit:
        return None
    return f"accuracy of preferences {accuracy:.3f} is below gate.minPreferenceAccuracy {limit:g}"


def _share_missed(name: str, words: str, limit: float | None, share: float | None) -> str | None:
    if limit is None:
        return None
    if share is None:
        return f"gate.{name} cannot be checked: no answers that it is about were generated"
    return None if share >= limit else f"{words} {share:.3f} is below gate.{name} {limit:g}"
