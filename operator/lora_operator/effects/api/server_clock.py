"""The API server's time. What the operator writes and what the server writes can then be subtracted from each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The header is cut to whole seconds and the answer takes time on its way: a clock that much behind was not set back.
_LATE_SECONDS = 3.0


class ServerClock:
    """Time by the header `Date` of the API server's answers (RFC 9110, 6.6.1), carried on by the monotonic clock.

    The clock of this machine counts only until the first answer.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    def learn(self, date: str | None) -> None:
        """Take note of an answer's `Date`; one that cannot be read is passed over."""
        try:
            said = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        offset = said - self._monotonic()
        if self._offset is None or not 0 <= self._offset - offset < _LATE_SECONDS:
            self._offset = offset

    def now(self) -> datetime:
        """Return the time by the API server's clock, right to about a second."""
        if self._offset is None:
            return datetime.now(UTC)
        return datetime.fromtimestamp(self._monotonic() + self._offset, UTC)
