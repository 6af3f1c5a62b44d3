"""The date of runs whose chat template reads the clock: pinned when the first of them is prepared.

Many templates write today's date into every conversation. A run keeps the date of its first preparation: one that is
prepared again on another day, because its pod was lost or the same YAML was applied again, gives the same rows, has
the same identity and finds what was done before. `spec.runToken` asks for a new run, and with it for a new date.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime

from lora_contract.layout import RunLayout
from lora_trainer.store.protocol import Store

log = logging.getLogger(__name__)


def today() -> date:
    """Return the date now, in UTC."""
    return datetime.now(UTC).date()


def pinned(store: Store, undated: RunLayout) -> date:
    """Return the date of the run, today's where none was pinned. `undated` is of the identity without a date.

    Raises:
        TrainerError: the output cannot be read or written.
    """
    now = today()
    content = f"{now.isoformat()}\n".encode()
    if store.create(undated.template_date, content, content_type="text/plain"):
        return now
    found = _parsed(store.read_if_exists(undated.template_date))
    if found is None:
        log.warning("%s holds no date and is written anew", undated.template_date)
        store.write(undated.template_date, content, content_type="text/plain")
        return now
    return found


def _parsed(content: bytes | None) -> date | None:
    try:
        return date.fromisoformat((content or b"").decode("ascii").strip())
    except ValueError:
        return None
