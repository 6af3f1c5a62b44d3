"""Token buckets: so many requests a second for each caller, with some in hand."""

from __future__ import annotations

import time


class RateLimit:
    """Allows each key `rate` requests a second, and `burst` at once after a pause."""

    def __init__(self, *, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, key: str) -> bool:
        """Count one more request if it is within the limit, and return whether it is."""
        now = time.monotonic()
        filled, since = self._buckets.get(key, (float(self._burst), now))
        filled = min(self._burst, filled + (now - since) * self._rate)
        allowed = filled >= 1
        self._buckets[key] = (filled - 1 if allowed else filled, now)
        return allowed

    def forget_idle(self) -> None:
        """Drop the buckets that are full again."""
        now = time.monotonic()
        full_after = self._burst / self._rate
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if now - bucket[1] < full_after}
