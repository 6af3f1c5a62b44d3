"""Storage addresses: `s3://bucket/key`, and `file:///path` for runs without a cluster."""

from __future__ import annotations

import re
from typing import NamedTuple

#: What the API server accepts. No query, no fragment, no empty or dot segment.
S3_URI_PATTERN = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()=+@,:&$~-]+)*/?$"
#: A `.` or `..` segment, which S3 clients disagree about.
DOT_SEGMENT_PATTERN = r"/[.]{1,2}(/|$)"
NOT_AN_ADDRESS = "must be a storage address s3://bucket/key: a bucket of 3 to 63 characters, no query, no empty segment"
HAS_DOT_SEGMENT = "must not contain '.' or '..' segments; write the full key"


class StorageUri(NamedTuple):
    """An address split into scheme, bucket (empty for `file`) and key or path."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        """The address as text."""
        return f"s3://{self.bucket}/{self.key}" if self.scheme == "s3" else f"file://{self.key}"

    def join(self, *parts: str) -> StorageUri:
        """The address of something below this one."""
        return self._replace(key="/".join([self.key.rstrip("/"), *parts]).lstrip("/" if self.bucket else ""))


def parse(text: str) -> StorageUri:
    """Split an address.

    Raises:
        ValueError: it is neither `s3://bucket/key` nor `file:///absolute/path`, or has a dot segment.
    """
    if re.search(DOT_SEGMENT_PATTERN, text):
        raise ValueError(f"{text!r} {HAS_DOT_SEGMENT}")
    if text.startswith("file:///"):
        return StorageUri("file", "", text.removeprefix("file://"))
    if re.fullmatch(S3_URI_PATTERN, text) is None:
        raise ValueError(f"{text!r} {NOT_AN_ADDRESS}")
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return StorageUri("s3", bucket, key)
