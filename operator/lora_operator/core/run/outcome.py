"""Where a run is, as one of few types; `status/conclude.py` makes the status, its conditions and the Events of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lora_contract.reasons import Reason
from lora_contract.status import ErrorStatus, LoRAFineTuneStatus, Phase, QueueStatus
from lora_operator.core.run.decision import Action, Event


@dataclass(frozen=True)
class UnderWay:
    """The run goes on: it is prepared, waits in a queue, trains, or waits for something that is named."""

    phase: Phase
    reason: Reason
    message: str
    status: LoRAFineTuneStatus
    actions: tuple[Action, ...] = ()
    #: What is done once the status is written.
    follow_up: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    look_again: float | None = None
    #: Where the run stands, while it waits in a queue.
    queue: QueueStatus | None = None


@dataclass(frozen=True)
class Suspended:
    """The run is held by spec.suspend, and no pod of it runs."""

    phase: ClassVar[Phase] = Phase.SUSPENDED
    reason: ClassVar[Reason] = Reason.SUSPENDED
    message: str
    status: LoRAFineTuneStatus
    actions: tuple[Action, ...] = ()
    follow_up: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The spec cannot be run as it stands; the run goes on once it is corrected."""

    phase: ClassVar[Phase] = Phase.FAILED
    reason: Reason
    message: str
    error: ErrorStatus
    status: LoRAFineTuneStatus
    actions: tuple[Action, ...] = ()
    follow_up: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Complete:
    """The run ends here: its adapter is published."""

    phase: ClassVar[Phase] = Phase.COMPLETE
    reason: Reason
    message: str
    status: LoRAFineTuneStatus
    #: When its last Job ended; None: now.
    ended: datetime | None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The run ends here, for a reason that another pod would meet again."""

    phase: ClassVar[Phase] = Phase.FAILED
    reason: Reason
    message: str
    error: ErrorStatus
    status: LoRAFineTuneStatus
    ended: datetime | None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Latched:
    """The run ended before and stays so: its status takes notice of a changed spec, and changes in nothing else."""

    phase: Phase
    status: LoRAFineTuneStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    look_again: float | None = None


@dataclass(frozen=True)
class MustRead:
    """Something has to be read before anything is concluded: the status stays as it was found."""

    actions: tuple[Action, ...]


#: Outcomes that say where the run is, with each condition of its status.
Told = UnderWay | Suspended | Refused | Complete | Failed
Outcome = Told | Latched | MustRead
