"""spec.method: what is learned of the rows, where it is not their answers as they stand."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import documented

MethodName = Literal["dpo", "kto"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
#: Strength of the tie to the reference model that both papers and TRL take where nothing is said.
_BETA = 0.1


def _beta() -> float:
    return documented(  # type: ignore[no-any-return]
        _BETA,
        "How firmly the adapter is held near the base model: the less, the further a preference may move it.",
        0.1, gt=0, le=100,
    )  # fmt: skip


class DpoSpec(SpecModel):
    """Direct preference optimisation: a chosen answer is to become likelier than a rejected one."""

    beta: float = _beta()
    sft_weight: float = documented(
        0.0,
        "How much the mean negative log likelihood of the chosen answer's tokens counts beside the preference.",
        0.2, ge=0, le=100,
    )  # fmt: skip
    length_normalised: bool = documented(
        False,
        "Compare answers by their mean log likelihood by token instead of the sum, so that length alone wins nothing.",
        True,
    )


class KtoSpec(SpecModel):
    """Kahneman-Tversky optimisation: answers are wanted or unwanted, each by itself."""

    beta: float = _beta()
    desirable_weight: float = documented(1.0, "How much the loss of a wanted answer counts.", 1.0, gt=0, le=1000)
    undesirable_weight: float = documented(
        1.0,
        "How much the loss of an unwanted answer counts. Where there are more of one kind, weights that make"
        " weight times rows of both kinds alike, to within a third, do best.",
        1.0, gt=0, le=1000,
    )  # fmt: skip


class MethodSpec(SpecModel):
    """Preference tuning: what is learned from which answers were preferred."""

    dpo: DpoSpec | None = documented(
        None,
        "Rows with prompt, chosen and rejected answer. Exactly one of dpo and kto.",
        {"beta": 0.1},
    )
    kto: KtoSpec | None = documented(
        None,
        "Rows with prompt, answer and a label: true for wanted, false for unwanted. Exactly one of dpo and kto.",
        {"beta": 0.1},
    )

    @property
    def name(self) -> MethodName:
        """The method that is set."""
        return "kto" if self.dpo is None else "dpo"

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.dpo) != has(self.kto)",
            message="set exactly one of method.dpo and method.kto, such as dpo: {}; leave method out to learn answers",
            holds=lambda m: (m.dpo is None) != (m.kto is None),
        ),
    )


#: Rules of the whole spec: what fits preference tuning, and what fits nothing else.
RULES_OF_METHOD: tuple[Rule, ...] = (
    Rule(
        cel="has(self.method) || !has(self.evaluation.gate.minPreferenceAccuracy)",
        message="evaluation.gate.minPreferenceAccuracy needs method, such as method: {dpo: {}}; without preferences"
        " there is nothing to measure it on",
        holds=lambda s: s.method is not None or s.evaluation.gate.min_preference_accuracy is None,
    ),
    Rule(
        cel="!has(self.method) || !has(self.evaluation.gate.forgettingSource)",
        message="evaluation.gate.forgettingSource cannot be measured with method: rows of all sources are preferences;"
        " remove it, and maxForgettingRatio is measured on the general text of the image",
        holds=lambda s: s.method is None or s.evaluation.gate.forgetting_source is None,
    ),
    Rule(
        cel="!has(self.method) || !has(self.method.kto) || !(has(self.evaluation.gate.minExactMatch) ||"
        " has(self.evaluation.gate.minJsonFields) || has(self.evaluation.gate.minToolCalls))",
        message="evaluation.gate.minExactMatch, minJsonFields and minToolCalls cannot be measured with method.kto,"
        " whose rows hold unwanted answers too; use minPreferenceAccuracy",
        holds=lambda s: s.method is None or s.method.kto is None or not s.evaluation.gate.needs_answers,
    ),
    Rule(
        cel="!has(self.method) || self.training.trainOn != 'all'",
        message="training.trainOn: all does not go with method: prompts are not compared; use assistant or last",
        holds=lambda s: s.method is None or s.training.train_on != "all",
    ),
    Rule(
        cel="!has(self.method) || (self.dataset.format == 'auto' && (!has(self.dataset.sources) ||"
        " self.dataset.sources.all(s, !has(s.format) || s.format == 'auto')))",
        message="dataset.format does not go with method, which says what rows hold; remove it, and name columns in"
        " dataset.columns",
        holds=lambda s: (
            s.method is None or all(part.format in (None, "auto") for part in (s.dataset, *(s.dataset.sources or ())))
        ),
    ),
    Rule(
        cel="!has(self.method) || !has(self.method.dpo) || !has(self.dataset.columns.label)",
        message="dataset.columns.label goes with method.kto; rows of method.dpo have the columns chosen and rejected",
        holds=lambda s: s.method is None or s.method.dpo is None or s.dataset.columns.label is None,
    ),
    Rule(
        cel="!has(self.method) || !has(self.method.kto) || !(has(self.dataset.columns.chosen) ||"
        " has(self.dataset.columns.rejected))",
        message="dataset.columns.chosen and rejected go with method.dpo; rows of method.kto have the columns completion"
        " and label",
        holds=lambda s: (
            s.method is None
            or s.method.kto is None
            or (s.dataset.columns.chosen is None and s.dataset.columns.rejected is None)
        ),
    ),
)
