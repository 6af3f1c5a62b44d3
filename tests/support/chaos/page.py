"""`python -m support.chaos.page`: writes the figures of the last round of chaos into docs/reliability.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from support.chaos import figures
from support.chaos.stories import STORIES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
_CRASHES = "crash plans of "
#: What a whole round has besides crash plans; what is missing did not pass far enough to be measured.
_EXPECTED = (
    *(f"away {seconds} s" for seconds in (30, 60, 180)),
    "bad answers",
    "etcd restored",
    "leader killed",
    "leader paused",
    "many resources",
    "upgrade",
)

Facts = dict[str, dict[str, Any]]


def main() -> int:
    """Replace what stands between the two marks of the page."""
    found: Facts = json.loads(figures.file().read_text(encoding="utf-8"))
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no lines {_BEGIN.strip()} and {_END.strip()}")
    PAGE.write_text(before + begin + section(found) + end + after, encoding="utf-8")
    return 0


def section(found: Facts) -> str:
    """The round in words and two tables: crash plans by story, and everything else."""
    about = found["round"]
    crashes = {name.removeprefix(_CRASHES): facts for name, facts in found.items() if name.startswith(_CRASHES)}
    others = {name: facts for name, facts in found.items() if name != "round" and not name.startswith(_CRASHES)}
    plans, failed = _sum(crashes, "plans"), _sum(crashes, "failed")
    missing = [name for name in _EXPECTED if name not in others]
    missing += [f"{_CRASHES}{story.name}" for story in STORIES if story.name not in crashes]
    lines = [
        f"Last round: {about['date']}, {about['cores']} cores of {about['machine']}.",
        "",
        f"Crash plans: {plans} in {len(crashes)} stories; {plans - failed} ended as the undisturbed run, {failed} did"
        f" not. Jobs created twice: {_sum(crashes, 'duplicate_jobs')}. Events that a crash lost:"
        f" {_sum(crashes, 'lost_events')}.",
        "",
        "| story | writes | plans | ended otherwise | Jobs twice |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {facts['writes']} | {facts['plans']} | {facts['failed']} | {facts['duplicate_jobs']} |"
            for name, facts in sorted(crashes.items())
        ),
        "",
        "| what happened | what was found |",
        "|---|---|",
        *(f"| {name} | {_in_words(facts)} |" for name, facts in sorted(others.items())),
        "",
        f"Without a figure in this round: {', '.join(missing) or 'nothing'}.",
    ]
    return "\n".join(lines) + "\n"


def _in_words(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in facts.items())


def _sum(crashes: Facts, key: str) -> int:
    return sum(int(facts[key]) for facts in crashes.values())


if __name__ == "__main__":
    sys.exit(main())
