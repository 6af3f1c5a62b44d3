"""Waiting that always lets go when it is cancelled."""

from __future__ import annotations

import asyncio


async def is_set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for an event, at most so long; None: for ever.

    `asyncio.wait_for` of Python 3.11 forgets a cancellation that comes in the moment of the event.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
