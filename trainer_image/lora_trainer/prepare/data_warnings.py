"""What a user should know of the data although nothing is wrong: above all, what of it is not trained on."""

from __future__ import annotations

from collections.abc import Iterator

from lora_contract.counts import count, counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.status import PlanStatus
from lora_trainer.data.profile import DataProfile

#: Why tool calls in answers are not judged.
UNREADABLE = "the calls that the chat template writes cannot be read back, or not all values in them"

_TRUNCATED_SHARE_TO_WARN = 0.05
#: Mean lengths of preferred and rejected answers further apart than this teach length before anything else.
_LENGTHS_TO_WARN = 1.5
#: Weight times rows of wanted and of unwanted answers should not be further apart, as TRL's page on KTO advises.
_KINDS_TO_WARN = 4 / 3
_MOST_COLUMNS = 20
#: Keys of answers that some files have as columns.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_MOST_FILES = 5


def about(spec: LoRAFineTuneSpec, plan: PlanStatus, profile: DataProfile | None) -> list[str]:
    """Write sentences for the status; `profile` is None where an older version prepared the run."""
    return [
        *_template_date(plan),
        *_reasoning(plan),
        *_left_out(spec, plan, profile),
        *_marks(profile),
        *_splits(spec, plan),
        *_preferences(spec, plan),
        *_tools(spec, profile),
    ]


def _template_date(plan: PlanStatus) -> list[str]:
    if not plan.template_date:
        return []
    return [
        f"the chat template writes today's date into every row; in this run it is {plan.template_date},"
        " the day of its first preparation"
    ]


def _reasoning(plan: PlanStatus) -> list[str]:
    if plan.answers is None or not plan.answers.without_reasoning:
        return []
    return [
        f"answers without reasoning: {count(plan.answers.without_reasoning)} of {count(plan.answers.trained)}; from"
        " them the model learns to answer behind an empty think block. Give the reasoning as reasoning_content; or, if"
        " the model is not to reason, switch it off with chat.templateArgs (for most templates"
        " enable_thinking: 'false')"
    ]


def _left_out(spec: LoRAFineTuneSpec, plan: PlanStatus, profile: DataProfile | None) -> list[str]:
    warnings = []
    if profile is not None and profile.ignored_columns:
        shown = ", ".join(profile.ignored_columns[:_MOST_COLUMNS])
        more = len(profile.ignored_columns) - _MOST_COLUMNS
        advice = "".join(_advice(spec, profile.ignored_columns))
        warnings.append(f"columns that are not used: {shown}{f' and {more} more' if more > 0 else ''}{advice}")
    unused = [source.name for source in plan.sources or () if not source.rows]
    if unused:
        warnings.append(f"sources of which no training row is left: {', '.join(unused)}")
    empty = [name for name, rows in profile.rows_read.items() if not rows] if profile is not None else []
    if empty:
        others = f" and {len(empty) - _MOST_FILES} more" if len(empty) > _MOST_FILES else ""
        warnings.append(f"files without a row: {', '.join(empty[:_MOST_FILES])}{others}")
    if plan.bad_rows:
        examples = profile.bad_row_examples if profile is not None else []
        first = f"; the first: {examples[0]}" if examples else ""
        warnings.append(
            f"{counted(plan.bad_rows, 'bad row was', 'bad rows were')} left out (dataset.onBadRows: Skip){first}"
        )
    if profile is not None and profile.empty_documents:
        left_out = counted(profile.empty_documents, "empty document was", "empty documents were")
        warnings.append(f"{left_out} left out")
    if profile is not None and profile.contradictions:
        said = counted(profile.contradictions, "row says", "rows say")
        first = "; ".join(profile.contradiction_examples)
        warnings.append(f"{said} the opposite of another row about the same answers; the first: {first}")
    if plan.duplicate_rows:
        warnings.append(f"{counted(plan.duplicate_rows, 'repeated row was', 'repeated rows were')} left out")
    rows = plan.rows + plan.validation_rows + plan.test_rows
    if plan.rows_without_target:
        longest = profile.longest_row_without_target if profile is not None else 0
        warnings.append(
            f"rows left out: {count(plan.rows_without_target)} of {count(plan.rows_without_target + rows)}, as"
            f" training.maxLength {spec.training.max_length} leaves nothing of their answers;"
            f" raise training.maxLength{f', to {longest} for all of them' if longest else ''}"
        )
    if plan.truncated_rows > _TRUNCATED_SHARE_TO_WARN * rows:
        warnings.append(
            f"rows cut at {counted(spec.training.max_length, 'token')}: {count(plan.truncated_rows)} of {count(rows)};"
            f" raise training.maxLength{f', to {plan.longest_row} for all of them' if plan.longest_row else ''}"
        )
    return warnings


def _marks(profile: DataProfile | None) -> list[str]:
    if profile is None or not profile.foreign_marks:
        return []
    have = counted(profile.foreign_marks, "row has", "rows have")
    return [
        f"{have} marks of other chat templates in their texts, which are learned as text (the first:"
        f" {profile.first_foreign_mark}); the model's own template writes turns: remove the marks, and give each"
        " turn as a message"
    ]


def _advice(spec: LoRAFineTuneSpec, columns: list[str]) -> Iterator[str]:
    """Say what to do about columns that are not used, where their names tell what they are for."""
    if spec.method is None and "label" in columns:
        yield "; if label says which answers are wanted, set method: {kto: {}}"
    if spec.method is None and {"chosen", "rejected"} <= set(columns):
        yield "; if chosen and rejected are answers to compare, set method: {dpo: {}}"
    if "system_prompt" in columns:
        yield "; to put system_prompt before the conversation, rename it to system"
    thought = next((name for name in columns if name in _THOUGHTS), None)
    if thought is not None:
        yield f"; {thought} is learned as a key of an answer in messages alone"


def _splits(spec: LoRAFineTuneSpec, plan: PlanStatus) -> list[str]:
    warnings = []
    if plan.evaluation_rows is not None and plan.evaluation_rows < plan.validation_rows:
        warnings.append(
            f"each evaluation during training takes {count(plan.evaluation_rows)} of the"
            f" {counted(plan.validation_rows, 'validation row')}, to cost a tenth of the time at most;"
            " raise training.evalSteps for more rows"
        )
    if plan.validation_rows and plan.total_steps < spec.training.eval_steps:
        warnings.append(
            f"training.evalSteps {spec.training.eval_steps} is more than the steps of the run ({plan.total_steps}):"
            " nothing is evaluated during training, and the adapter of the last step is published;"
            " lower training.evalSteps"
        )
    split = spec.dataset.split
    for name, rows, share, address, consequence in (
        (
            "validation",
            plan.validation_rows,
            split.validation,
            spec.dataset.validation_uri,
            "nothing is evaluated during training",
        ),
        ("test", plan.test_rows, split.test, spec.dataset.test_uri, "base and adapter are not compared"),
    ):
        if rows:
            continue
        if address is not None:
            warnings.append(f"dataset.{name}Uri holds no row that can be used: {consequence}")
        elif share:
            warnings.append(
                f"no row fell into the {name} split, as there are few rows: {consequence};"
                f" raise dataset.split.{name} or set dataset.{name}Uri"
            )
    return warnings


def _preferences(spec: LoRAFineTuneSpec, plan: PlanStatus) -> list[str]:
    found, method = plan.preferences, spec.method
    if found is None or method is None:
        return []
    warnings = []
    chosen, rejected = float(found.chosen_tokens or 0), float(found.rejected_tokens or 0)
    if chosen and rejected and max(chosen / rejected, rejected / chosen) > _LENGTHS_TO_WARN:
        names = ("preferred answers", "rejected") if method.kto is None else ("wanted answers", "unwanted")
        longer = "longer" if chosen > rejected else "shorter"
        cure = "set method.dpo.lengthNormalised: true, or add rows" if method.kto is None else "add rows"
        warnings.append(
            f"{names[0]} have {chosen:g} tokens on average, {names[1]} ones {rejected:g}: what is learned may"
            f" be to answer {longer}; {cure} in which lengths are alike"
        )
    if method.kto is not None:
        wanted = method.kto.desirable_weight * found.chosen_rows
        unwanted = method.kto.undesirable_weight * found.rejected_rows
        if max(wanted / unwanted, unwanted / wanted) > _KINDS_TO_WARN:
            field, weight = (
                ("undesirableWeight", wanted / found.rejected_rows)
                if wanted > unwanted
                else ("desirableWeight", unwanted / found.chosen_rows)
            )
            warnings.append(
                f"wanted answers: {found.chosen_rows}, unwanted: {found.rejected_rows}; the more frequent kind"
                f" outweighs the other; method.kto.{field}: {weight:.3g} would balance them"
            )
    return warnings


def _tools(spec: LoRAFineTuneSpec, profile: DataProfile | None) -> list[str]:
    if profile is None:
        return []
    warnings = []
    if profile.schema_notes:
        warnings.append(f"schemas of tools: {'; '.join(profile.schema_notes[:_MOST_COLUMNS])}")
    if profile.test_rows_with_tools and profile.tool_call_form is None and spec.evaluation.samples:
        warnings.append(f"tool calls in answers are not judged: {UNREADABLE}")
    return warnings
