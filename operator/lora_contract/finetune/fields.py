"""Kinds of field that several parts of the spec use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

from lora_contract import uri

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"


@dataclass(frozen=True)
class Matches:
    """A pattern (RE2, anchored) whose violation reads as a sentence, from the API server and from pydantic alike.

    The API server's own message for `pattern` shows the expression and leaves the reader to decipher it.
    """

    pattern: str
    message: str

    def holds(self, text: str) -> bool:
        """Return whether the text has the form; like RE2's `$`, a trailing line break does not count as the end."""
        return re.fullmatch(self.pattern, text, re.ASCII) is not None

    def _check(self, text: str) -> str:
        if not self.holds(text):
            raise ValueError(self.message)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic's own checks of the string."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """State the pattern as a CEL rule with the message."""
        rule = {"rule": f"self.matches({cel_string(self.pattern)})", "message": self.message}
        return with_rules(handler(schema), rule)


@dataclass(frozen=True)
class StorageAddress:
    """`s3://bucket/key` for the API server; pydantic also takes `file:///path`, for runs without a cluster."""

    def _check(self, text: str, info: core_schema.ValidationInfo) -> str:
        for_a_cluster = bool(info.context and info.context.get("cluster"))
        uri.parse(text, local=not for_a_cluster)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic's own checks of the string."""
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """State each rule as CEL with its message; those about the rest say nothing of what is no address at all."""
        return with_rules(handler(schema), *(_address_rule(rule) for rule in uri.ADDRESS_RULES))


@dataclass(frozen=True)
class DataAddress:
    """`s3://...`, `hf://datasets/...` or `pvc://...` for the API server; pydantic also takes `file:///path`."""

    def _check(self, text: str, info: core_schema.ValidationInfo) -> str:
        for_a_cluster = bool(info.context and info.context.get("cluster"))
        uri.check_data_address(text, local=not for_a_cluster)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after pydantic's own checks of the string."""
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """State each rule as CEL; all but the first hold for the addresses that begin as theirs."""
        of_storage = (rule for rule in uri.ADDRESS_RULES if rule not in (uri.IS_S3, *uri.OF_BUCKETS))
        rules = [
            ("", uri.IS_DATA),
            *(("s3://", rule) for rule in uri.OF_BUCKETS),
            *uri.DATA_RULES,
            *(("", rule) for rule in of_storage),
        ]
        return with_rules(handler(schema), *(_rule_from(begin, rule) for begin, rule in rules))


def _rule_from(begin: str, rule: uri.AddressRule) -> dict[str, str]:
    """Make the rule for addresses that begin so; all but the first say nothing of what is no address of data at all."""
    holds = f"{'' if rule.wanted else '!'}self.matches({cel_string(rule.pattern)})"
    if begin:
        holds = f"!self.startsWith('{begin}') || {holds}"
    elif rule is not uri.IS_DATA:
        holds = f"!self.matches({cel_string(uri.IS_DATA.pattern)}) || {holds}"
    return {"rule": holds, "message": rule.message}


def _address_rule(rule: uri.AddressRule) -> dict[str, str]:
    cel = f"{'' if rule.wanted else '!'}self.matches({cel_string(rule.pattern)})"
    if rule is not uri.IS_S3:
        cel = f"!self.startsWith('s3://') || {cel}"
    return {"rule": cel, "message": rule.message}


def with_rules(schema: dict[str, Any], *rules: dict[str, str]) -> dict[str, Any]:
    """Add CEL rules to a JSON schema."""
    return {**schema, "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", []), *rules]}


def cel_string(text: str) -> str:
    """Write a CEL string literal; raw, so that expressions stay readable. No pattern here holds both quotes."""
    quote = '"' if "'" in text else "'"
    return f"r{quote}{text}{quote}"


DataUri = Annotated[str, StringConstraints(max_length=512), DataAddress()]
StorageUri = Annotated[str, StringConstraints(max_length=512), StorageAddress()]
ObjectName = Annotated[
    str,
    StringConstraints(max_length=253),
    Matches(
        DNS_SUBDOMAIN, "must be the name of an object: lower-case letters, digits, '-' and '.', such as s3-credentials"
    ),
]


def documented(default: Any, text: str, example: Any, **limits: Any) -> Any:
    """Define a field with its default (`...`: required), an explanation with unit, and an example."""
    return Field(default, description=text, examples=[example], **limits)
