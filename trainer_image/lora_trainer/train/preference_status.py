"""What is told of the preferences of base and adapter, beside losses: in the status and in metrics.jsonl."""

from __future__ import annotations

from lora_contract.status import PreferencesStatus
from lora_trainer.evaluation.answers import AnswerScores
from lora_trainer.objective import Measured
from lora_trainer.objective.compared import ACCURACY, CHOSEN_LOSS, KL, MARGIN


def of_test_rows(test: Measured | None, scores: AnswerScores | None) -> PreferencesStatus | None:
    """Collect them as decimal strings; None where the objective compares no answers, or there are no test rows."""
    if test is None or KL.key not in test.figures:
        return None
    figures = {
        name: _text(test.figures.get(figure.key))
        for name, figure in (("accuracy", ACCURACY), ("margin", MARGIN), ("kl", KL), ("chosen_loss", CHOSEN_LOSS))
    }
    return PreferencesStatus(**figures, length_ratio=_text(None if scores is None else scores.length_ratio))


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
