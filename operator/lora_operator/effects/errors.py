"""What fails in the world and not in the code."""

from __future__ import annotations

#: What the growing wait between tries never exceeds.
LONGEST_WAIT_SECONDS = 300.0


class ExpectedError(Exception):
    """A failure of the world, not of the code: logged in one line and tried again.

    `retry_after`: seconds after which to try again, where that is known; `longest_wait`: what the growing wait
    between tries never exceeds.
    """

    retry_after: float | None = None
    longest_wait: float = LONGEST_WAIT_SECONDS
