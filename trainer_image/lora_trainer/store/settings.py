"""What the environment says about S3. A value that can never work is refused at once instead of waited for."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import UnknownRegionError

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_S3_ENDPOINT, STORAGE_SECRET_KEYS, STORAGE_SECRET_REQUIRED_KEYS
from lora_trainer.errors import TrainerError, bad_config

DEFAULT_REGION = "us-east-1"

#: Variables that name the S3 endpoint, the one that wins first.
ENDPOINT_VARIABLES = (ENV_S3_ENDPOINT, "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # a label of a host name
_SECRET_HINT = (
    "write the Secret anew with kubectl create secret generic --from-literal;"  # noqa: S105 - words
    " where the value is encoded by hand, with printf instead of echo and without quotes"
)
_BYTE_ORDER_MARK = "\ufeff"
#: What Python makes of bytes in the environment that are no UTF-8.
_SURROGATES = ("\udc80", "\udcff")


@dataclass(frozen=True)
class ClientSettings:
    """Address (None: that of AWS) and region of the S3 service."""

    endpoint: str | None
    region: str


def client_settings(environment: Mapping[str, str]) -> ClientSettings:
    """Read the settings of the S3 client; the credentials are only judged, boto3 reads them itself.

    Raises:
        TrainerError: 77 or 64, a value can never work. The message names the variable and never holds a credential.
    """
    for name in STORAGE_SECRET_REQUIRED_KEYS:
        if environment.get(name) == "":
            raise TrainerError(
                ExitCode.ACCESS_DENIED,
                f"{name} is empty",
                param=spec_paths.STORAGE_SECRET_NAME,
                hint="put the key into the Secret",
            )
    for name in dict.fromkeys((*STORAGE_SECRET_KEYS, *_REGIONS)):
        if (problem := odd_characters(environment.get(name, ""))) is not None:
            raise TrainerError(
                ExitCode.ACCESS_DENIED, f"{name} {problem}", param=spec_paths.STORAGE_SECRET_NAME, hint=_SECRET_HINT
            )
    endpoint_name, endpoint = _first(environment, ENDPOINT_VARIABLES)
    region_name, region = _first(environment, _REGIONS)
    if endpoint:
        _check_endpoint(endpoint_name, endpoint)
    if region:
        _check_region(region_name, region, endpoint)
    return ClientSettings(endpoint or None, region or DEFAULT_REGION)


def odd_characters(value: str) -> str | None:
    """Say what no header can carry in a credential, or what an editor or a shell left around it.

    None: nothing.
    """
    if value.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark, as some editors write at the beginning of a file"
    if any(_SURROGATES[0] <= character <= _SURROGATES[1] for character in value):
        return "holds bytes that are no text in UTF-8"
    if value != value.rstrip("\r\n"):
        return "ends in a line end"
    if any(character.isspace() for character in value):
        return "holds white space or a line end"
    if any(not character.isprintable() for character in value):
        return "holds a control character"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return "stands in quotes, which are part of the value"
    return None if value.isascii() else "holds a character that is no ASCII"


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """Name and value of the first variable that is set."""
    return next(((name, environment[name]) for name in names if environment.get(name)), (names[0], ""))


def _check_endpoint(name: str, endpoint: str) -> None:
    problem = odd_characters(endpoint)
    try:
        parts = urlsplit(endpoint)
        port_is_wrong = parts.port is not None and not parts.port
    except ValueError:
        raise _bad_endpoint(name, "has a port that is no number from 1 to 65535") from None
    if problem is None and port_is_wrong:
        problem = "has a port that is no number from 1 to 65535"
    if problem is None and (parts.scheme not in ("http", "https") or not parts.hostname):
        problem = "does not begin with http:// or https:// and a host"
    if problem is None and parts.username is not None:
        problem = "holds a user name"
    if problem is None and (parts.path not in ("", "/") or parts.query or parts.fragment):
        problem = "has a path; buckets and prefixes belong into the s3:// addresses"
    if problem is not None:
        raise _bad_endpoint(name, problem)


def _bad_endpoint(name: str, problem: str) -> TrainerError:
    return bad_config(
        f"the S3 endpoint in {name} {problem}",
        param=spec_paths.STORAGE_ENDPOINT,
        hint="write http(s)://host or http(s)://host:port; where the spec has no endpoint it is the platform's default",
    )


def _check_region(name: str, region: str, endpoint: str) -> None:
    if not _REGION.fullmatch(region):
        raise bad_config(
            f"{name} is no name of a region", param=spec_paths.STORAGE_SECRET_NAME, hint="write one such as us-east-1"
        )
    if not endpoint and not _is_of_aws(region):
        raise bad_config(
            f"{name} names a region that AWS does not have",
            param=spec_paths.STORAGE_SECRET_NAME,
            hint="correct the region in the Secret; for an S3 server that is not AWS set spec.storage.endpoint",
        )


def _is_of_aws(region: str) -> bool:
    """Tell whether boto3 knows the region, or one newer than this image has a name that can be resolved."""
    session = boto3.Session()
    try:
        partition = session.get_partition_for_region(region)
    except UnknownRegionError:
        return False
    if partition != "aws" or region in session.get_available_regions("s3"):
        return True
    try:
        socket.getaddrinfo(f"s3.{region}.amazonaws.com", 443)
    except OSError:
        return False
    return True
