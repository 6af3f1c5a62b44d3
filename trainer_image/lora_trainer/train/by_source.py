"""What held-out rows say of adapter and base, source by source and over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.objective import Measured, Objective, Role
from lora_trainer.train.inputs import Inputs
from lora_trainer.train.session import Session


@dataclass(frozen=True)
class Parts:
    """What all rows say, and those of each source by its name; rows of no source count in `all` alone."""

    all: Measured
    of: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceMeasures:
    """What the held-out rows of each source say, by its name; empty where there are none, or were not measured."""

    test: Mapping[str, Measured] = field(default_factory=dict)
    base_test: Mapping[str, Measured] = field(default_factory=dict)
    validation: Mapping[str, Measured] = field(default_factory=dict)
    base_validation: Mapping[str, Measured] = field(default_factory=dict)

    def test_ratio(self, name: str) -> float | None:
        """Compare the loss of the adapter with that of the base on a source's test rows; None: not measured on both."""
        adapter, base = self.test.get(name), self.base_test.get(name)
        return None if adapter is None or base is None else adapter.loss / base.loss


def measure(
    session: Session,
    inputs: Inputs,
    rows: Rows,
    names: Sequence[str],
    alive: Callable[[], None],
    *,
    with_base: bool,
    role: Role = "adapter",
) -> tuple[Parts, Parts | None]:
    """Measure the adapter, or what it is replaced by, on each row once, and the base model where it is wanted.

    `names` are those of the sources in their order; none: there is but one part. `alive` is called before every batch.
    """
    adapter = _parts(session, inputs.objective, rows, names, alive, role=role)
    if not with_base:
        return adapter, None
    with session.adapted.model.disable_adapter():
        of_base: Role = "reference" if inputs.parent is None else "earlier"
        return adapter, _parts(session, inputs.objective, rows, names, alive, role=of_base)


def _parts(
    session: Session,
    objective: Objective,
    rows: Rows,
    names: Sequence[str],
    alive: Callable[[], None],
    *,
    role: Role,
) -> Parts:
    def measured(indices: Sequence[int]) -> Measured:
        some = [rows[index] for index in indices]
        return objective.measure(session.forward_pass, session.adapted.model, some, alive=alive, role=role)

    if not names:
        return Parts(measured(range(len(rows))))
    of = {
        int(number): measured((rows.sources == number).nonzero()[0].tolist())
        for number in sorted(set(rows.sources.tolist()))
    }
    return Parts(Measured.together(of.values()), {names[number]: each for number, each in of.items() if number >= 0})
