"""What the store has allowed this process: a refusal of what worked before is a disturbance, not a wrong setting."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto


class Right(Enum):
    """What a call asks of the store; policies grant each on its own."""

    LIST = auto()
    READ = auto()
    WRITE = auto()
    DELETE = auto()


class AccessHistory:
    """Rights that were used with success. Safe to use from several threads: entries are only ever added."""

    def __init__(self, areas: Sequence[str] = (), *, proven_by_prepare: bool = False) -> None:
        """`areas` are addresses below which one policy holds, such as `spec.output.uri`; elsewhere a bucket is one.

        `proven_by_prepare`: an earlier pod of the run, with the same Secret or ServiceAccount, had every right.
        """
        self._areas = sorted((area.rstrip("/") for area in areas), key=len, reverse=True)
        self._used: set[tuple[Right, str]] = set()
        self.proven_by_prepare = proven_by_prepare

    def record(self, right: Right, uri: str) -> None:
        """Note that the store did what was asked, or answered as it does to those who may ask."""
        self._used.add((right, self._area(uri)))

    def knows_credentials(self) -> bool:
        """Tell whether the store accepted the credentials of this process for anything."""
        return bool(self._used)

    def allowed(self, right: Right, uri: str) -> bool:
        """Tell whether the store allowed the same to this process in the same area."""
        return (right, self._area(uri)) in self._used

    def _area(self, uri: str) -> str:
        inside = (area for area in self._areas if uri.rstrip("/") == area or uri.startswith(f"{area}/"))
        return next(inside, uri.removeprefix("s3://").partition("/")[0])
