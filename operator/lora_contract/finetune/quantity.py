"""Amounts of CPU and memory, in every form in which Kubernetes takes them.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_FORM = re.compile(
    r"(?P<number>[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+))(?P<suffix>[KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]{1,3})", re.ASCII
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_MAX_LENGTH = 32
#: 0.3 and 300m are the same, but not to the last bit.
_ROUNDING = 1.000001


def parse_quantity(text: str) -> Decimal | None:
    """Read the number that a quantity stands for; None: the text is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    number, suffix = Decimal(found["number"]), found["suffix"]
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    return number.scaleb(_DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:]))


@dataclass(frozen=True)
class Between:
    """A quantity with bounds, written as text or as a whole number. `form` names examples of how to write it."""

    least: str
    most: str
    form: str

    def _check(self, value: Any) -> int | str:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"must be of type integer or string: {self.form}")
        if isinstance(value, str) and len(value) > _MAX_LENGTH:
            raise ValueError(f"must have at most {_MAX_LENGTH} characters")
        amount = parse_quantity(str(value))
        if amount is None:
            raise ValueError(f"must be {self.form}")
        if amount < _known(self.least):
            raise ValueError(f"must be at least {self.least}; write {self.form}")
        if amount > _known(self.most):
            raise ValueError(f"must be at most {self.most}; write {self.form}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take an integer or a string: a union's own messages would tell of each kind that it is not."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """State the same for the API server; CEL knows quantities."""
        least, most = math.ceil(_known(self.least)), math.floor(_known(self.most))
        rules = (
            ("type(self) == int || isQuantity(self)", f"must be {self.form}"),
            (
                f"type(self) == int ? self >= {least} :"
                f" !isQuantity(self) || !quantity(self).isLessThan(quantity('{self.least}'))",
                f"must be at least {self.least}; write {self.form}",
            ),
            (
                f"type(self) == int ? self <= {most} :"
                f" !isQuantity(self) || !quantity(self).isGreaterThan(quantity('{self.most}'))",
                f"must be at most {self.most}; write {self.form}",
            ),
        )
        return {
            "x-kubernetes-int-or-string": True,
            "maxLength": _MAX_LENGTH,
            "x-kubernetes-validations": [{"rule": cel, "message": message} for cel, message in rules],
        }


def at_most(amount: int | str, limit: int | str) -> bool:
    """Return whether a quantity is not above another; also where one of them is none, which another rule reports."""
    number, most = parse_quantity(str(amount)), parse_quantity(str(limit))
    return number is None or most is None or float(number) <= float(most) * _ROUNDING


def cel_at_most(amount: str, limit: str) -> str:
    """Write the CEL for `at_most`; the arguments are fields that hold integers or strings."""

    def number(field: str) -> str:
        return f"(type({field}) == int ? double({field}) : quantity({field}).asApproximateFloat())"

    unknown = " || ".join(f"(type({field}) == string && !isQuantity({field}))" for field in (amount, limit))
    return f"{unknown} || {number(amount)} <= {number(limit)} * {_ROUNDING}"


def _known(text: str) -> Decimal:
    amount = parse_quantity(text)
    if amount is None:
        raise ValueError(f"{text} is no quantity")
    return amount


CpuQuantity = Annotated[int | str, Between("1m", "1M", "CPU cores such as 4, '0.5' or 500m")]
#: The least is below what any process of ours needs: a number that was meant as GiB is refused.
MemoryQuantity = Annotated[
    int | str, Between("16Mi", "1Pi", "memory such as 32Gi or 512Mi; a number without a suffix is bytes")
]
