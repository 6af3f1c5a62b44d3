"""What waits are counted from: the facts of the present, and since when this process has seen each of them.

The clocks of the API server, of nodes and of this machine may differ by hours, so a wait is never the difference
between the time now and a time that another machine wrote. It runs by the monotonic clock of this process from the
moment at which it first saw the fact. After a restart every fact is seen for the first time again: waits get longer by
that, never shorter.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Sight(Enum):
    """What can be seen."""

    JOB = auto()
    #: The Job has not ended, is suspended or not, and these are its pods that have not ended.
    JOB_HAS_PODS = auto()
    QUOTA_RESERVED = auto()
    POD = auto()
    POD_WAITS = auto()
    POD_UNSCHEDULED = auto()
    POD_DELETING = auto()
    POD_ENDED = auto()
    #: Something that the status refers to is not in the cache.
    JOB_ABSENT = auto()
    POD_ABSENT = auto()
    REPORT_ABSENT = auto()
    #: The status shows progress of this time.
    PROGRESS = auto()


class Fact(NamedTuple):
    """Something that is so now. `subject` is a uid or a name; another `detail` is another fact."""

    sight: Sight
    subject: str
    detail: str = ""
