"""A run that goes on from another run's adapter waits for it, and fails where that one failed.

Only runs of its own namespace are looked at. What the run saw first stays: a parent that is deleted, edited or run anew
afterwards changes nothing. Whether the adapter may be read is found out by prepare, with the rights of this run.
"""

from __future__ import annotations

from collections.abc import Callable

from lora_contract import spec_paths
from lora_contract.conditions import ConditionType
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_contract.status import ErrorStatus, ParentStatus, Phase
from lora_operator.core.causes.pod_end import End
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.run import limits
from lora_operator.core.run.outcome import Failed, Refused, UnderWay
from lora_operator.core.run.run import Run
from lora_operator.core.stages import results

_FIELD = spec_paths.FROM_RUN


def record_parent(run: Run) -> Run:
    """Latch in the run which adapter the run published that spec.from names; unchanged where there is none yet."""
    name, parent = awaited_run(run.finetune), run.observed.parent
    if name is None or run.status.parent is not None or parent is None or not _published(parent):
        return run
    artifact = parent.status.artifact
    if artifact is None:
        return run
    return run.with_status(parent=ParentStatus(run=name, uri=artifact.uri, manifest_digest=artifact.manifest_digest))


def check_parent(run: Run) -> UnderWay | Refused | Failed | None:
    """Wait for the run that spec.from names; None: there is nothing to wait for, or it was waited for before."""
    name, parent = awaited_run(run.finetune), run.observed.parent
    if name is None:
        return None
    if (found := run.status.parent) is not None:
        latched = run.before.parent is not None and not run.superseded
        # The status first: whatever becomes of the other run, all pods of this one get the same adapter.
        return None if latched else _waits(run, f"Goes on from the adapter of run {name} at {found.uri}.", again=0.0)
    if run.observed.parents_in_circle:
        return _refuse_circle(run, name)
    if parent is None:
        text = (
            f"Waits for run {name}, which does not exist in this namespace. Create it there; or, where another one is"
        )
        return _waits(run, f"{text} meant in {_FIELD}, delete this run and apply it again with that name.")
    status = parent.status
    if parent.deleting or not _is_up_to_date(parent):
        what = "is being deleted" if parent.deleting else "was just changed"
        return _waits(run, f"Waits for run {name}, which {what}.")
    if status.finished and status.holds(ConditionType.FAILED):
        return _fail(run, name, status.error)
    if status.refused and status.error is not None:
        return _waits(run, f"Waits for run {name}, which is refused until it is corrected: {status.error.message}")
    return _waits(run, f"Waits for run {name}, which is {status.phase or Phase.PENDING}.")


def awaited_run(finetune: FineTune) -> str | None:
    """Name the run of the same namespace whose adapter a run goes on from; None: it names none."""
    spec = finetune.spec
    return None if spec is None or spec.parent is None else spec.parent.run


def waits_for_parent(finetune: FineTune) -> bool:
    """Return whether a run has not seen the adapter yet that it goes on from."""
    return awaited_run(finetune) is not None and finetune.status.parent is None and not finetune.status.finished


def parent_of(finetune: FineTune, beside: Callable[[str], FineTune | None]) -> FineTune | None:
    """Find the run that a run goes on from; `beside` finds a run of its namespace by name."""
    name = awaited_run(finetune)
    return None if name is None else beside(name)


def _published(parent: FineTune) -> bool:
    return not parent.deleting and _is_up_to_date(parent) and parent.status.holds(ConditionType.COMPLETE)


def _is_up_to_date(parent: FineTune) -> bool:
    """Return whether the status is about the spec as it stands: an edit may begin another run."""
    return not parent.seen or parent.status.observed_generation == parent.generation


def _waits(run: Run, text: str, again: float | None = None) -> UnderWay:
    words = shorten(text, limits.LONGEST_MESSAGE)
    return UnderWay(Phase.PENDING, Reason.WAITING_FOR_RUN, words, run.status, look_again=again)


def _refuse_circle(run: Run, name: str) -> Refused:
    whom = "this run itself" if name == run.finetune.name else f"run {name}, which in the end waits for this run"
    text = f"{_FIELD}: names {whom}. Name a run that does not depend on this one."
    hint = "Delete the run, correct the field and apply it again."
    error = ErrorStatus(code=Reason.SPEC_INVALID, message=text, param=_FIELD, hint=hint)
    return Refused(Reason.SPEC_INVALID, text, error, run.status)


def _fail(run: Run, name: str, error: ErrorStatus | None) -> Failed:
    why = "" if error is None else f": {error.code}: {error.message}"
    text = f"Run {name}, which {_FIELD} names, failed{why}"
    return results.failure(run, End(Reason.PARENT_FAILED, text, param=_FIELD))
