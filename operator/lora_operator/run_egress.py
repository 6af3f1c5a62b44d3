"""What the pods of runs may connect to, as rules of a NetworkPolicy.

The API server drops fields of a selector that it does not know, and a selector without fields matches everything: a
slip in a rule would open what it should close. So all fields are read here, and written as the API server stores them.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, model_validator
from pydantic.alias_generators import to_camel

from lora_contract.finetune.fields import LABEL_KEY, LABEL_VALUE


def _address_block(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address block such as 10.0.0.0/8: {error}") from error
    return text


_LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
_LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]
_AddressBlock = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"), AfterValidator(_address_block)]
_PortNumber = Annotated[StrictInt, Field(ge=1, le=65535)]
#: The name of a port: lower-case letters, digits and single '-', among them a letter.
_PortName = Annotated[str, Field(pattern=r"^([a-z0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=15)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Requirement(_Part):
    """A requirement of a label selector."""

    key: _LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[_LabelValue, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.operator in ("In", "NotIn") and not self.values:
            raise ValueError(f"{self.operator} needs values")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise ValueError(f"{self.operator} takes no values")
        return self


class Selector(_Part):
    """Labels of pods or namespaces; without fields it selects all of them."""

    match_labels: dict[_LabelKey, _LabelValue] = {}
    match_expressions: tuple[Requirement, ...] = ()


class AddressBlock(_Part):
    """A block of addresses, and blocks within it that are left out."""

    cidr: _AddressBlock
    except_: tuple[_AddressBlock, ...] = Field((), alias="except")

    @model_validator(mode="after")
    def _check(self) -> Self:
        whole = ipaddress.ip_network(self.cidr, strict=False)
        for part in self.except_:
            inner = ipaddress.ip_network(part, strict=False)
            if inner.version != whole.version or inner == whole or not inner.subnet_of(whole):  # type: ignore[arg-type]
                raise ValueError(f"{part} is not within {self.cidr}, or is all of it")
        return self


class EgressPeer(_Part):
    """Pods, by their labels and those of their namespace, or a block of addresses."""

    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: AddressBlock | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        selects = self.pod_selector is not None or self.namespace_selector is not None
        if selects == (self.ip_block is not None):
            raise ValueError("set either ipBlock, or podSelector and namespaceSelector or one of them")
        return self


class EgressPort(_Part):
    """A port, or the ports from `port` to `endPort`; without a number all ports of the protocol."""

    port: _PortNumber | _PortName | None = None
    end_port: _PortNumber | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end_port is not None and not (isinstance(self.port, int) and self.port <= self.end_port):
            raise ValueError("endPort needs a port that is a number and not above it")
        return self


class EgressRule(_Part):
    """A rule of a NetworkPolicy's egress: pods may connect to these peers on these ports; none: to all of them."""

    to: tuple[EgressPeer, ...] = ()
    ports: tuple[EgressPort, ...] = ()

    def dump(self) -> dict[str, Any]:
        """Return the rule as the API server stores it: without what is empty, and with each port's protocol."""
        peers = [peer.model_dump(mode="json", by_alias=True, exclude_defaults=True) for peer in self.to]
        ports = [port.model_dump(mode="json", by_alias=True, exclude_none=True) for port in self.ports]
        return {name: value for name, value in (("to", peers), ("ports", ports)) if value}
