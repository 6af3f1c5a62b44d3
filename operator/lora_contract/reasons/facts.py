"""What is known of a reason: one row for each."""

from __future__ import annotations

from dataclasses import dataclass

from lora_contract.exit_codes import ExitCode

#: The end of many remedies: the same spec has the same identity, so the new object resumes from the old checkpoints.
AGAIN = "then delete the LoRAFineTune and apply it again; it resumes."


@dataclass(frozen=True, kw_only=True)
class ReasonFacts:
    """What a reason means, to people and to the operator.

    `meaning`, `consequence` and `advice` are Markdown, for docs/reasons.md; `remedy` is the hint in `status.error` of a
    run that fails for it, where the pod gave none. `warning`: its Event is a Warning, also while the run goes on.
    `counts_as_retry`: a train pod that ended so counts against `spec.retries`. `moves_to_other_node`: the run goes on
    on another node. `exit_code`: that of the trainer image which this is called on the object.
    """

    meaning: str
    advice: str
    consequence: str = ""
    remedy: str = ""
    warning: bool = False
    counts_as_retry: bool = True
    moves_to_other_node: bool = False
    exit_code: ExitCode | None = None
