"""Several runs side by side: in what their specs differ, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from lora_cli.clean import one_line
from lora_cli.run import Run
from lora_cli.text.figures import duration, figure, money, number_of, share
from lora_cli.text.gates import limits, missed, verdict
from lora_cli.text.lines import facts, table
from lora_contract.counts import count
from lora_contract.status import UsageStatus
from lora_contract.times import parse_time

#: Parts of the spec that say nothing of a recipe.
_ASIDE = ("suspend", "runToken", "checkToken", "updatePolicy", "ttlSecondsAfterFinished", "retries")
_NONE = "-"


@dataclass(frozen=True)
class Comparison:
    """Rows of texts, a text for each run.

    `adapters`: addresses, empty where there is none. `best`: index of the run with the lowest test loss, where its
    losses are of the same rows. `gates`: what each had to reach, and what it missed of that.
    """

    names: tuple[str, ...]
    spec: tuple[tuple[str, tuple[str, ...]], ...]
    results: tuple[tuple[str, tuple[str, ...]], ...]
    adapters: tuple[str, ...]
    best: int | None
    notes: tuple[str, ...]
    gates: tuple[tuple[str, tuple[str, ...]], ...] = ()


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs. A field of the spec is named where it is not the same for all."""
    specs = [_flat({key: part for key, part in run.spec.items() if key not in _ASIDE}) for run in runs]
    paths = dict.fromkeys(path for spec in specs for path in spec)
    fields = [(path, tuple(spec.get(path, _NONE) for spec in specs)) for path in paths]
    results = [(title, tuple(read(run) for run in runs)) for title, read in _RESULTS.items()]
    notes = tuple(_notes(runs))
    return Comparison(
        names=_names(runs),
        spec=tuple(row for row in fields if len(set(row[1])) > 1),
        results=tuple((title, tuple(text or _NONE for text in row)) for title, row in results if any(row)),
        adapters=tuple("" if run.status.artifact is None else run.status.artifact.uri for run in runs),
        best=None if notes else _best(runs),
        notes=notes,
        gates=tuple(_gates(runs)),
    )


def comparison_page(found: Comparison) -> list[Text]:
    """Lay a comparison out in two tables."""
    lines = table(("RESULT", *found.names), [(title, *row) for title, row in found.results])
    if found.spec:
        lines += [Text(), *table(("FIELD OF THE SPEC", *found.names), [(path, *row) for path, row in found.spec])]
    else:
        lines += [Text(), Text("The specs are the same.")]
    if any(found.adapters):
        lines += [Text(), *facts(zip((f"Adapter of {name}" for name in found.names), found.adapters, strict=True))]
    if found.best is not None:
        lines += [Text(), Text(f"Lowest loss on the test rows: {found.names[found.best]}", style="green")]
    return lines + [Text(note, style="yellow") for note in found.notes]


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    several = len({run.namespace for run in runs}) > 1
    return tuple(f"{run.namespace}/{run.name}" if several else run.name for run in runs)


def _flat(value: Mapping[str, Any], *path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found |= _flat(item, *path, key)
        else:
            found[".".join((*path, key))] = _text(item)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return one_line(str(value))


def _gates(runs: Sequence[Run]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not any(map(verdict, runs)):
        return
    yield "Outcome", tuple(verdict(run) or "no limit" for run in runs)
    for name in dict.fromkeys(name for run in runs for name in limits(run)):
        yield f"evaluation.gate.{name}", tuple(_text(limits(run).get(name, _NONE)) for run in runs)
    if any(map(missed, runs)):
        yield "What was missed", tuple(missed(run) or _NONE for run in runs)


def _notes(runs: Sequence[Run]) -> list[str]:
    """Explain why the losses of runs cannot be held against each other."""
    plans = [run.status.plan for run in runs if run.status.plan is not None]
    splits = {
        (
            plan.dataset_digest,
            _text(list(_flat(run.part("dataset").get("split", {})).values())),
            run.part("dataset").get("testUri"),
        )
        for run in runs
        if (plan := run.status.plan) is not None
    }
    notes = []
    if len(splits) > 1:
        notes.append("The runs hold out other rows, so their losses cannot be held against each other.")
    if len({(run.model, plan.model_commit) for run in runs if (plan := run.status.plan) is not None}) > 1:
        notes.append("The base models differ: a loss per token means the same only where the tokenizer is the same.")
    if len({run.part("training").get("trainOn") for run in runs}) > 1 and len(plans) > 1:
        notes.append("training.trainOn differs, so the losses are of other tokens.")
    return notes


def _best(runs: Sequence[Run]) -> int | None:
    losses = [number_of(run.status.metrics.test_loss or "") if run.status.metrics else None for run in runs]
    known = [(loss, index) for index, loss in enumerate(losses) if loss is not None]
    return min(known)[1] if len(known) > 1 else None


def _metric(name: str, show: Callable[[str | None], str] = figure) -> Callable[[Run], str]:
    return lambda run: "" if run.status.metrics is None else show(getattr(run.status.metrics, name))


def _usage(show: Callable[[UsageStatus], str]) -> Callable[[Run], str]:
    return lambda run: "" if run.status.usage is None else show(run.status.usage)


def _lasted(run: Run) -> str:
    start, end = parse_time(run.status.start_time), parse_time(run.status.completion_time)
    return "" if start is None or end is None else duration((end - start).total_seconds())


def _steps(run: Run) -> str:
    progress, plan = run.status.progress, run.status.plan
    if progress is not None:
        return f"{count(progress.step)} of {count(progress.total_steps)}"
    return "" if plan is None else count(plan.total_steps)


def _preferences(run: Run) -> str:
    found = None if run.status.metrics is None else run.status.metrics.preferences
    return "" if found is None else share(found.accuracy)


_RESULTS: Mapping[str, Callable[[Run], str]] = {
    "Phase": lambda run: run.phase,
    "Quality gate": verdict,
    "Reason": lambda run: "" if run.status.error is None else run.status.error.code,
    "Rows": lambda run: "" if run.status.plan is None else count(run.status.plan.rows),
    "Tokens": lambda run: "" if run.status.plan is None else count(run.status.plan.tokens),
    "Steps": _steps,
    "Training loss": _metric("train_loss"),
    "Evaluation loss, best": _metric("best_eval_loss"),
    "Test loss": _metric("test_loss"),
    "Test loss of the base": _metric("base_test_loss"),
    "Test loss of the parent": _metric("parent_test_loss"),
    "General text": _metric("general_loss"),
    "General text of the base": _metric("base_general_loss"),
    "Preferences": _preferences,
    "Right fields": _metric("json_fields", share),
    "Valid JSON": _metric("json_valid", share),
    "Exact answers": _metric("exact_match", share),
    "From start to end": _lasted,
    "GPU time": _usage(lambda usage: duration(usage.gpu_seconds) if usage.gpu_seconds else ""),
    "GPU time idle": _usage(lambda usage: duration(usage.gpu_idle_seconds) if usage.gpu_seconds else ""),
    "Cost": _usage(lambda usage: money(usage.cost, usage.currency)),
}
