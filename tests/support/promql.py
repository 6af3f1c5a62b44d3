"""What PromQL asks for, and what alerts do, by Prometheus' own parser and engine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from lora_cluster import tools

#: What Grafana puts in place of its variables.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$namespace": ".*"}


class Selector(TypedDict):
    """One metric in an expression: matchers by label, and those of them that ask for one value."""

    metric: str
    labels: list[str]
    equals: dict[str, str]


class Asked(TypedDict):
    """What an expression asks for."""

    selectors: list[Selector]
    grouping: list[str]


def without_variables(expression: str) -> str:
    """An expression of a dashboard, as Prometheus gets it."""
    return re.sub("|".join(map(re.escape, _VARIABLES)), lambda found: _VARIABLES[found[0]], expression)


def asked_by(expressions: Sequence[str]) -> list[Asked]:
    """Parse expressions; fails with the parser's words."""
    tools.build(("prometheus",))
    done = subprocess.run(
        [tools.binary("promql")], input=json.dumps(list(expressions)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[Asked] = json.loads(done.stdout)
    return answers


def promtool(*words: str | Path) -> str:
    """Run promtool; fails with its words."""
    tools.build(("prometheus",))
    done = subprocess.run([tools.binary("promtool"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
