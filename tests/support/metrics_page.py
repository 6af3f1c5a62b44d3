"""The table of docs/metrics.md, from the metrics that the operator has.

`python -m support.metrics_page` (with tests and the product on the path; `make docs-metrics`) writes it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from lora_contract.generated import write_or_check
from lora_operator.effects import metrics
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.run_metrics import RunGauges

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_TABLES = re.compile(r"(<!-- (\w+): `make docs-metrics` -->\n\n).*?(\n<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Metric:
    """One metric, as a page or a query knows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """The names that a query can ask for, each with its labels."""
        labels = frozenset(self.labels)
        if self.type != "histogram":
            return {self.name: labels}
        return {f"{self.name}_bucket": labels | {"le"}, f"{self.name}_count": labels, f"{self.name}_sum": labels}


def known() -> list[Metric]:
    """Every metric of the operator's own, in the order of the code."""
    own = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    found = []
    for metric in own:
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.append(Metric(name, family.type, metric._labelnames, family.documentation))
    for gauge in RunGauges(Cache()).collect():
        found.append(Metric(gauge.name, gauge.type, tuple(gauge._labelnames), gauge.documentation))
    return found


def page() -> str:
    """The page as it should be: its words, and a table of what there is below each prefix."""
    return _TABLES.sub(lambda found: found[1] + _table(found[2]) + found[3], PAGE.read_text(encoding="utf-8"))


def _table(prefix: str) -> str:
    rows = [("metric", "type", "labels", "meaning"), ("---",) * 4]
    for metric in known():
        if metric.name.startswith(prefix):
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            rows.append((f"`{metric.name}`", metric.type, labels, metric.meaning))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}, None, program="support.metrics_page", description=__doc__ or ""))
