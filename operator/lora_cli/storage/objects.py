"""Objects in S3, and what is said where they cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lora_cli.clean import one_line
from lora_cli.errors import CommandError
from lora_contract import names, uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCK_BYTES = 1 << 20


class Objects:
    """The objects of one S3 service. `keys`: values of a storage Secret; empty: the user's own credentials.

    Raises:
        CommandError: boto3 is not installed, or does not take the settings.
    """

    def __init__(self, endpoint: str | None, keys: Mapping[str, str]) -> None:
        try:
            import boto3  # noqa: PLC0415 - the other commands work without it
            import botocore.config  # noqa: PLC0415
            import botocore.exceptions  # noqa: PLC0415
        except ImportError:
            raise CommandError(
                "Reading from S3 needs boto3, which is not installed beside this program: `pipx inject lora-operator"
                " boto3`, or `pip install boto3`. Any other S3 client can fetch the address as well."
            ) from None
        self._errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
        self._own = not keys
        endpoint = endpoint or os.environ.get(names.ENV_S3_ENDPOINT)
        self._endpoint = endpoint or "the S3 service of AWS"
        settings = botocore.config.Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": "path"} if endpoint else {},
        )
        try:
            session = boto3.Session(
                aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
                aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
                aws_session_token=keys.get("AWS_SESSION_TOKEN"),
                region_name=keys.get("AWS_REGION"),
            )
            region = session.region_name or "us-east-1"
            self._client: S3Client = session.client("s3", endpoint_url=endpoint, region_name=region, config=settings)
        except (*self._errors, ValueError) as error:
            raise CommandError(f"S3 cannot be asked: {one_line(str(error))}") from None

    def blocks(self, address: str) -> Iterator[bytes]:
        """Read an object block by block.

        Raises:
            CommandError: it is not there, may not be read, or S3 does not answer.
        """
        try:
            place = uri.parse(address, local=False)
        except ValueError as error:
            raise CommandError(one_line(str(error))) from None
        try:
            body: Any = self._client.get_object(Bucket=place.bucket, Key=place.key)["Body"]
            while block := body.read(_BLOCK_BYTES):
                yield block
        except self._errors as error:
            raise CommandError(self._words(error, address)) from None

    def _words(self, error: Exception, address: str) -> str:
        response = getattr(error, "response", {})
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
        said = one_line(str(error))
        if status == 404:
            return f"{address} is not there (any more)."
        if status in (401, 403) or type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            whose = "Your credentials" if self._own else "The keys of the run's Secret"
            other = (
                " Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or say --run-credentials, where you"
                " may read the Secret of the run."
                if self._own
                else ""
            )
            return f"{whose} may not read {address}: that needs s3:GetObject.{other} S3 says: {said}"
        return (
            f"{address} cannot be read from {self._endpoint}: {said}. --endpoint names the address of S3 as it is seen"
            " from here, for instance behind `kubectl port-forward`."
        )
