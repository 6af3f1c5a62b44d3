"""Storage addresses: `s3://bucket/key`, and `file:///path` for runs without a cluster."""

from __future__ import annotations

import re
from typing import NamedTuple


class AddressRule(NamedTuple):
    """A rule for storage addresses: a pattern (RE2) that one matches, or must not match, and the message else."""

    pattern: str
    wanted: bool
    message: str

    def holds(self, text: str) -> bool:
        """Return whether an address keeps to the rule."""
        return (re.search(_python(self.pattern), text, re.ASCII) is not None) == self.wanted


IS_S3 = AddressRule(r"^s3://", True, "must be a storage address: s3://bucket/key")
_BUCKET = AddressRule(
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/|$)",
    True,
    "must be s3://bucket/key with a bucket of 3 to 63 characters: lower-case letters, digits, '.' and '-'",
)
#: What the API server accepts; each rule is one cause with its own words. A key may hold any other character.
ADDRESS_RULES = (
    IS_S3,
    _BUCKET,
    AddressRule(
        r"^(s3|hf|pvc)://.*//", False, "must not contain an empty segment: write one '/' where two stand side by side"
    ),
    # S3 clients disagree about these segments, and proxies about their encoded forms.
    AddressRule(
        r"/([.]|%2[eE]){1,2}(/|$)", False, "must not contain '.' or '..' segments, encoded or not; write the full key"
    ),
    AddressRule(
        r"[?]versionId=", False, "must not name a version of an object: the newest is read; remove ?versionId="
    ),
    # Control characters, line ends, and marks that turn the direction of writing.
    AddressRule(
        r"[\x{0}-\x{1f}\x{7f}-\x{9f}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]",
        False,
        "must not contain line breaks, control characters or marks that turn the direction of writing",
    ),
)


#: Rules for addresses in S3 alone.
OF_BUCKETS = (_BUCKET,)
#: Kinds of address that only data have, beside those of storage.
HUB, CLAIM = "hf://", "pvc://"
IS_DATA = AddressRule(
    r"^(s3|hf|pvc)://",
    True,
    "must be an address of data: s3://bucket/key, hf://datasets/OWNER/NAME@COMMIT/SPLIT or pvc://CLAIM/PATH",
)
#: Beside `ADDRESS_RULES`: the rules for addresses of data that begin as given.
DATA_RULES = (
    (
        HUB,
        AddressRule(
            r"^hf://datasets/[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?(@|$)",
            True,
            "must be hf://datasets/OWNER/NAME@COMMIT, with a file, a folder or a split behind it",
        ),
    ),
    (
        HUB,
        AddressRule(
            r"^hf://[^@]*@[0-9a-f]{40}(/|$)",
            True,
            "must name the commit of the dataset, 40 hexadecimal digits behind an @: a branch or tag may move",
        ),
    ),
    (
        CLAIM,
        AddressRule(
            r"^pvc://[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*(/|$)",
            True,
            "must be pvc://CLAIM/PATH with the name of a PersistentVolumeClaim of the same namespace",
        ),
    ),
)


def _python(pattern: str) -> str:
    """Write the same pattern in Python's syntax."""
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: f"\\u{int(found[1], 16):04x}", pattern).replace("$", r"\Z")


class StorageUri(NamedTuple):
    """An address split into scheme, bucket (empty for `file`) and key or path."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        """The address as text."""
        return f"s3://{self.bucket}/{self.key}" if self.scheme == "s3" else f"file://{self.key}"

    def join(self, *parts: str) -> StorageUri:
        """Return the address of something below this one."""
        return self._replace(key="/".join([self.key.rstrip("/"), *parts]).lstrip("/" if self.bucket else ""))


class HubDataset(NamedTuple):
    """What an address of a dataset on the Hub names; `path` is a file, a folder or a split, empty: all of it."""

    name: str
    commit: str
    path: str


def hub_dataset(text: str) -> HubDataset:
    """Split an address that keeps to the rules: `hf://datasets/<name>@<commit>/<path>`."""
    name, _, rest = text.removeprefix("hf://datasets/").partition("@")
    commit, _, path = rest.partition("/")
    return HubDataset(name, commit, path.rstrip("/"))


def claim_of(text: str) -> str | None:
    """Name the PersistentVolumeClaim that an address of data leads to; None: to none."""
    return text.removeprefix(CLAIM).partition("/")[0] if text.startswith(CLAIM) else None


def check_data_address(text: str, *, local: bool = True) -> None:
    """Check an address of data. `local`: a file of this machine is one too.

    Raises:
        ValueError: it breaks a rule.
    """
    if not text.startswith((HUB, CLAIM)):
        if not text.startswith("s3://") and not (local and text.startswith("file:///")):
            raise ValueError(f"{text!r} {IS_DATA.message}")
        parse(text, local=local)
        return
    anywhere = [rule for rule in ADDRESS_RULES if rule not in (IS_S3, *OF_BUCKETS)]
    for rule in (*(rule for begin, rule in DATA_RULES if text.startswith(begin)), *anywhere):
        if not rule.holds(text):
            raise ValueError(f"{text!r} {rule.message}")


def parse(text: str, *, local: bool = True) -> StorageUri:
    """Split an address. `local`: a file of this machine is one too.

    Raises:
        ValueError: it is neither `s3://bucket/key` nor `file:///absolute/path`, or breaks another of `ADDRESS_RULES`.
    """
    local = local and text.startswith("file:///")
    for rule in ADDRESS_RULES:
        if not (rule.holds(text) or (local and rule.wanted)):
            raise ValueError(f"{text!r} {rule.message}")
    if local:
        return StorageUri("file", "", text.removeprefix("file://"))
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return StorageUri("s3", bucket, key)
