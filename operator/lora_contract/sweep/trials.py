"""From a sweep's spec to its trials: the same spec always gives the same trials under the same names."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lora_contract import names
from lora_contract.base import explained
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.identity import spec_hash
from lora_contract.sweep.spec import MAX_TRIALS, LoRASweepSpec

#: Path of a field (`training.learningRate`) and its value.
Changes = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep. `parameters`: the fields in which it differs from the template, as text."""

    name: str
    parameters: dict[str, str]
    spec: LoRAFineTuneSpec

    @property
    def varies_method(self) -> bool:
        """Whether it sets what a loss means (beta), so that its losses cannot be compared with those of others."""
        return any(path.startswith("method.") for path in self.parameters)


def trials_of(sweep: str, spec: LoRASweepSpec) -> tuple[Trial, ...]:
    """Make the trials of the sweep with this name, in the order in which they start.

    Raises:
        ValueError: there are none or too many, one is no valid run, or two are the same; the message says which.
    """
    template = spec.template.spec.dump()
    trials: list[Trial] = []
    number_of: dict[str, int] = {}
    for number, changes in enumerate(_changes(spec)):
        parameters = {path: _text(value) for path, value in changes.items()}
        try:
            run = LoRAFineTuneSpec.model_validate(_changed(template, changes))
        except ValidationError as error:
            lines = "; ".join(explained(error, "template.spec"))
            raise ValueError(f"trial {number} ({_listed(parameters)}): {lines}") from error
        twin = number_of.setdefault(spec_hash(run), number)
        if twin != number:
            raise ValueError(f"trials {twin} and {number} are the same ({_listed(parameters)}); remove one of them")
        trials.append(Trial(names.trial_name(sweep, number), parameters, run))
    if spec.median_stopping is not None and any(trial.varies_method for trial in trials):
        raise ValueError(
            "medianStopping: it compares evaluation losses, which mean something else for other settings of method;"
            " remove it, or do not vary method"
        )
    return tuple(trials)


def _changes(spec: LoRASweepSpec) -> Iterator[Changes]:
    if spec.trials is not None:
        yield from (_flat(trial.dump()) for trial in spec.trials)
        return
    values = _flat(spec.grid.dump()) if spec.grid is not None else {}
    if not values:
        raise ValueError("grid: name at least one field and its values, such as training.learningRate")
    count = math.prod(len(of_field) for of_field in values.values())
    if count > MAX_TRIALS:
        raise ValueError(f"grid: {count} combinations are more than {MAX_TRIALS}; name fewer values, or use trials")
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _flat(fields: dict[str, Any], path: str = "") -> Changes:
    found: Changes = {}
    for field, value in fields.items():
        found |= _flat(value, f"{path}{field}.") if isinstance(value, dict) else {f"{path}{field}": value}
    return found


def _changed(template: dict[str, Any], changes: Changes) -> dict[str, Any]:
    spec = deepcopy(template)
    for path, value in changes.items():
        *parts, field = path.split(".")
        part = spec
        for name in parts:
            if name not in part:
                raise ValueError(f"template.spec has no {'.'.join(parts)}, whose {field} is to be varied; set it there")
            part = part[name]
        part[field] = value
    return spec


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _listed(parameters: dict[str, str]) -> str:
    return ", ".join(f"{path}: {value}" for path, value in parameters.items()) or "the template as it is"
