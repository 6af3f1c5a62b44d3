"""A log that is followed is told to its end, and each line once, however often the connection breaks."""

from __future__ import annotations

from collections.abc import Iterator

from lora_cli.cluster.api import UnreachableError
from lora_cli.cluster.followed import follow_log, split_stamp

LINES = [f"2026-03-02T14:30:0{number // 3}.{number}Z line {number}" for number in range(9)]


class Log:
    """A log that grows; each connection brings a few lines and then breaks, or ends."""

    def __init__(self, *connections: int, breaks: bool) -> None:
        self.connections, self.breaks = list(connections), breaks
        self.asked: list[str] = []

    def read(self, since: str) -> Iterator[str]:
        """Read the lines that were written by now, from the second of a time on."""
        self.asked.append(since)
        written = self.connections.pop(0)
        yield from (line for line in LINES[:written] if line[:19] >= since[:19])
        if self.breaks and self.connections:
            raise UnreachableError("no answer")

    def has_ended(self) -> bool:
        """Tell whether the last connection is at hand."""
        return len(self.connections) <= 1


def test_a_log_whose_connection_breaks_is_told_to_its_end() -> None:
    log = Log(4, 4, 8, 9, breaks=True)

    assert list(follow_log(log.read, log.has_ended, lambda: None)) == LINES
    assert log.asked == ["", LINES[3].split()[0], LINES[3].split()[0], LINES[7].split()[0]]


def test_a_log_that_is_closed_while_its_pod_runs_is_read_on() -> None:
    log = Log(2, 9, breaks=False)

    assert list(follow_log(log.read, log.has_ended, lambda: None)) == LINES


def test_lines_of_the_same_moment_are_all_told() -> None:
    lines = ["2026-03-02T14:30:00.1Z a", "2026-03-02T14:30:00.1Z b"]

    assert list(follow_log(lambda _: iter(lines), lambda: True, lambda: None)) == lines


def test_a_line_that_begins_like_a_time_keeps_its_text() -> None:
    assert split_stamp("2026-03-02T14:30:00.5Z 2026-03-02 step 1") == ("2026-03-02T14:30:00.5Z", "2026-03-02 step 1")
    assert split_stamp("step 1") == ("", "step 1")
    assert split_stamp("2026-03-02T14:30:00Z") == ("2026-03-02T14:30:00Z", "")
