"""Kinds of field that several parts of the spec use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from lora_contract import uri
from lora_contract.base import Rule

DNS_LABEL = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
QUANTITY = r"^([0-9]+(\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"


def _storage_uri(text: str) -> str:
    uri.parse(text)
    return text


#: `s3://bucket/key` (the API server), also `file:///path` (runs without a cluster, checked by pydantic alone).
StorageUri = Annotated[
    str,
    StringConstraints(max_length=512),
    AfterValidator(_storage_uri),
    Field(json_schema_extra={"pattern": uri.S3_URI_PATTERN}),
]
ObjectName = Annotated[str, StringConstraints(pattern=DNS_LABEL, min_length=1, max_length=253)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY, max_length=32)]


def documented(default: Any, text: str, example: Any, **limits: Any) -> Any:
    """A field with its default (`...`: required), an explanation with unit, and an example."""
    return Field(default, description=text, examples=[example], **limits)


def no_dot_segments(path: str, name: str) -> Rule:
    """The rule that an address has no `.` or `..` segment, which S3 clients disagree about."""
    attribute = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return Rule(
        cel=f"!has(self.{name}) || !(self.{name} + '/').matches('/[.]{{1,2}}/')",
        message=f"{path}.{name} must not contain '.' or '..' segments; write the full key",
        holds=lambda part: not any(s in (".", "..") for s in (getattr(part, attribute) or "").split("/")),
    )
