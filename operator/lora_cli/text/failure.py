"""Why a run failed, in what order it came to that, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from lora_cli.run import Run
from lora_cli.text.lines import Cell, facts, state, table
from lora_cli.text.run_page import attempts
from lora_contract.conditions import ConditionType
from lora_contract.reasons import ReasonFacts, facts_of
from lora_contract.status import AttemptStatus

#: Lines of a log that are shown.
MOST_WORDS = 12


def failure_page(run: Run, now: datetime, last_words: tuple[str, list[str]] | None = None) -> list[Text]:
    """Explain a failure. `last_words`: a pod and the last lines of its log."""
    error = run.status.error
    lines = facts(_facts(run))
    if run.status.attempts:
        lines += [Text(), *attempts(run.status.attempts, now)]
    if last_words is not None and last_words[1]:
        pod, words = last_words
        lines += [Text(), Text(f"Last words of {pod}", style="bold"), *(Text(f"  {word}") for word in words)]
    if error is not None:
        lines += [Text(), Text("What next", style="bold"), *table(("", ""), _next(run), head=False)]
    return lines


def _facts(run: Run) -> Iterator[tuple[str, Cell]]:
    error = run.status.error
    yield "Run", f"{run.namespace}/{run.name}"
    if error is None:
        ready = run.status.condition(ConditionType.READY)
        yield "Phase", Text.assemble(state(run.phase), "; it has not failed")
        if ready is not None:
            known = facts_of(ready.reason)
            yield "Now", f"{ready.reason}: {ready.message}" if ready.message else ready.reason
            yield "Meaning", plain(known.meaning)
            yield "Do", Text(plain(known.advice), style="green")
        return
    known = facts_of(error.code)
    yield "Phase", state(run.phase)
    yield "Reason", Text(error.code, style="red")
    yield "What", error.message
    yield "Where", error.param or ""
    yield "Meaning", plain(known.meaning)
    yield "Do", Text(_remedy(error.hint, known), style="green")
    last = _last_failure(run)
    if last is not None and last.reason != error.code and last.reason:
        of_last = facts_of(last.reason)
        yield "Last pod", f"{last.pod or ''} {last.reason}: {last.message or plain(of_last.meaning)}"
        yield "", Text(of_last.remedy or plain(of_last.advice), style="green")


def _remedy(hint: str | None, known: ReasonFacts) -> str:
    return hint or known.remedy or plain(known.advice)


def _last_failure(run: Run) -> AttemptStatus | None:
    failed = [each for each in run.status.attempts if each.end_time and each.exit_code != 0]
    return failed[-1] if failed else None


def _next(run: Run) -> Iterator[tuple[str, str]]:
    """List commands, and what each is for."""
    where = f"{run.name} --namespace {run.namespace}"
    if run.status.attempts:
        yield f"kubectl lora logs {where}", "# all that its pods said, as long as they are there"
    if run.status.refused:
        yield f"kubectl edit lorafinetune {where}", "# correct the spec; the run then goes on"
        return
    if run.status.artifact is not None:
        yield f"kubectl lora report {where}", "# its adapter was published all the same"
    yield f"kubectl delete lorafinetune {where}", "# then apply its file again, corrected: nothing done is done twice"
    yield f"kubectl lora rerun {where}", "# the same spec once more, from the first step"


def plain(markdown: str) -> str:
    """Take the marks of Markdown away: code and links."""
    text = markdown.replace("`", "")
    while "](" in text:
        before, _, rest = text.partition("](")
        head, _, words = before.rpartition("[")
        text = head + words + rest.partition(")")[2]
    return text
