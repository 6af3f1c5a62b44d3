"""A finished run: it stays finished, is cleaned up, and may be asked whether its data is still the same."""

from __future__ import annotations

from lora_contract.conditions import ConditionType
from lora_contract.status import Phase
from lora_operator.core.checks.input_check import check_inputs
from lora_operator.core.run.decision import soonest
from lora_operator.core.run.outcome import Latched
from lora_operator.core.run.run import Run
from lora_operator.core.status.conclude import clean_up


def check_finished(run: Run) -> Latched | None:
    """Latch a finished run: it stays finished, whatever became of its Jobs or of status.phase."""
    if run.superseded or not run.status.finished:
        return None
    phase = Phase.FAILED if run.status.holds(ConditionType.FAILED) else Phase.COMPLETE
    check = check_inputs(run)
    actions, look_again = clean_up(check.run, check.run.status, needed=check.job)
    return Latched(
        phase,
        check.run.status,
        actions=(*actions, *check.actions),
        events=check.events,
        look_again=soonest(look_again, check.look_again),
    )
