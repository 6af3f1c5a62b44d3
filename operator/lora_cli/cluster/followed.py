"""A log that is read to its end, however often the connection breaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lora_cli.cluster.api import UnreachableError

_STAMP = re.compile(r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?(?P<text>.*)", re.DOTALL)
#: Characters of a stamp to its seconds: the API server takes no finer time to begin at.
_TO_SECONDS = len("2026-01-31T00:00:00")


def split_stamp(line: str) -> tuple[str, str]:
    """Split a line with timestamp into both; the timestamp is empty where there is none."""
    found = _STAMP.fullmatch(line)
    return (found["stamp"], found["text"]) if found else ("", line)


def follow_log(
    read: Callable[[str], Iterator[str]], has_ended: Callable[[], bool], wait: Callable[[], None]
) -> Iterator[str]:
    """Read the lines of a log with their timestamps, each once.

    `read` reads it from a time on, from the beginning where that is empty; `has_ended` tells whether all was written;
    `wait` passes the time before it is read once more.

    Raises:
        ApiError: it cannot be read (any more).
    """
    last, seen = "", set[str]()
    while True:
        known = frozenset(seen)  # lines of one moment are told all, but none again
        try:
            ended = has_ended()
            for line in read(last):
                stamp, _ = split_stamp(line)
                if stamp in known:
                    continue
                if stamp:
                    seen = {stamp} | (seen if stamp[:_TO_SECONDS] == last[:_TO_SECONDS] else set())
                    last = stamp
                yield line
        except UnreachableError:
            ended = False  # it goes on where it broke off
        if ended:
            return
        wait()
