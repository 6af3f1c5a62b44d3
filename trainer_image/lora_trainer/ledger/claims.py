"""Who may write for a run: numbered claims by conditional PUT, the highest number wins.

A process takes claim n+1 when it starts. Every write it makes later lies below its own claim or is conditional, and
it looks for a newer claim before each, so a process that was cut off and comes back can overwrite nothing. The
holder renews its claim object every `RENEW_SECONDS`; a run with another owner reads from that whether it is alive.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.status import ArtifactStatus
from lora_trainer.errors import TrainerError, unsupported
from lora_trainer.store import ObjectInfo, Store

log = logging.getLogger(__name__)

RENEW_SECONDS = 20.0
#: A holder that renewed nothing for so long is taken for dead.
SILENCE_SECONDS = 120.0


class Fenced(TrainerError):  # noqa: N818 - not a failure: the work goes on elsewhere
    """A newer process of the same run took over; this one must stop and write nothing more. Ends as exit code 75."""

    def __init__(self, mine: int, newest: int | None) -> None:
        """`newest` is None when the claims are gone: the run was finished by another process."""
        by = "finished this run" if newest is None else f"took this run over (claim {newest})"
        super().__init__(ExitCode.CHECKPOINTED, f"another process {by}; this one (claim {mine}) stopped")


@dataclass
class Claim:
    """The right to write for a run, until somebody takes the next number."""

    store: Store
    layout: RunLayout
    number: int
    owner: str
    _token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _renewals: int = 0
    _ended: bool = False

    def check(self) -> None:
        """Return while this claim is the newest.

        Raises:
            Fenced: it is not, or all claims are gone.
        """
        newest = newest_claim(self.store, self.layout)
        if newest != self.number:
            raise Fenced(self.number, newest)

    def content(self) -> bytes:
        """Return what the claim object says now; each renewal says something else."""
        fields = {
            "owner": self.owner,
            "process": self._token,
            "renewals": self._renewals,
            "ended": self._ended,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return json.dumps(fields).encode()

    def renew(self) -> None:
        """Show that the holder is alive."""
        self._renewals += 1
        self._rewrite()

    def release(self) -> None:
        """Show that the holder has ended, so that nobody waits for it."""
        self._ended = True
        self._rewrite()

    def _rewrite(self) -> None:
        """Put the claim object anew; one that was removed, because the run is finished, does not come back."""
        uri = self.layout.claim(self.number)
        seen = self.store.info(uri)
        self.check()
        if seen is not None:
            self.store.replace(uri, self.content(), seen, content_type="application/json")

    @contextmanager
    def kept_alive(self, *, every_seconds: float = RENEW_SECONDS) -> Iterator[None]:
        """Renew from a thread while the context is open, then release.

        A renewal that fails is logged only: `check` decides who may write, not this.
        """
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(every_seconds):
                try:
                    self.renew()
                except Fenced as fenced:
                    log.warning("%s", fenced)
                    return
                except TrainerError as error:
                    log.warning("the claim was not renewed: %s", error)

        thread = threading.Thread(target=renew, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            with suppress(TrainerError):
                self.release()


def take_claim(store: Store, layout: RunLayout, owner: str) -> Claim:
    """Take the next number for a run. `owner` is the UID of the resource: pods of one resource replace each other.

    Raises:
        TrainerError: 78 where the server ignores the condition of a PUT: then nothing would keep two writers apart.
    """
    while True:
        claim = Claim(store, layout, (newest_claim(store, layout) or 0) + 1, owner)
        uri, content = layout.claim(claim.number), claim.content()
        if store.create(uri, content, content_type="application/json"):
            if store.create(uri, content, content_type="application/json"):
                raise unsupported(
                    "the S3 server ignores If-None-Match, so two pods could overwrite each other's work",
                    param=spec_paths.STORAGE_ENDPOINT,
                    hint="Use a server with conditional writes, for example AWS S3, MinIO, Cloudflare R2 or SeaweedFS.",
                )
            log.info("took claim %d", claim.number)
            return claim


def newest_claim(store: Store, layout: RunLayout) -> int | None:
    """Return the highest claimed number."""
    newest = _newest(store, layout)
    return None if newest is None else int(_number(newest))


def await_turn(
    store: Store,
    layout: RunLayout,
    owner: str,
    published: Callable[[], ArtifactStatus | None],
    *,
    silence_seconds: float = SILENCE_SECONDS,
    poll_seconds: float = 5.0,
) -> ArtifactStatus | None:
    """Wait while a live process of another owner works on the same run.

    Returns what it published, or None when it is our turn: nobody else claimed, or the other one fell silent. Only
    changes seen here count, so clocks need not agree.
    """
    seen: ObjectInfo | None = None
    since = time.monotonic()
    while True:
        artifact = published()
        newest = _newest(store, layout)
        if artifact is not None or newest is None or not _held_by_another(store, newest, owner):
            return artifact
        if newest != seen:
            if seen is None:
                log.info("another run with the same result is at work (%s); waiting for it", newest.uri)
            seen, since = newest, time.monotonic()
        elif time.monotonic() - since > silence_seconds:
            log.warning("the other run fell silent; going on in its place")
            return None
        time.sleep(poll_seconds)


def _newest(store: Store, layout: RunLayout) -> ObjectInfo | None:
    return max((each for each in store.list(layout.claims) if _number(each).isdigit()), key=_number, default=None)


def _number(claim: ObjectInfo) -> str:
    return claim.uri.rpartition("/")[2]


def _held_by_another(store: Store, claim: ObjectInfo, owner: str) -> bool:
    content = store.read_if_exists(claim.uri)
    try:
        fields = json.loads(content or b"{}")
    except ValueError:
        return True
    return isinstance(fields, dict) and not fields.get("ended") and fields.get("owner") != owner
