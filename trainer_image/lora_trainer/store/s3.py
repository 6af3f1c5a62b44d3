"""Objects in S3 or anything that speaks its protocol, on boto3."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from lora_trainer.digests import sha256_of
from lora_trainer.store import failures
from lora_trainer.store.access_history import AccessHistory, Right
from lora_trainer.store.failures import ErrorClass
from lora_trainer.store.protocol import ObjectInfo
from lora_trainer.store.retry import Retries
from lora_trainer.store.settings import client_settings
from lora_trainer.store.stream import ResumingStream
from lora_trainer.store.upload import Uploader, checksum_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

T = TypeVar("T")

_MIB = 1024 * 1024
_DELETE_BATCH = 1000  # the most that one DeleteObjects takes
_READ_BUFFER = 1 * _MIB


def client_from_environment(environment: Mapping[str, str] = os.environ) -> S3Client:
    """Make a client with the credentials that boto3 finds (Secret variables, web identity, pod identity), read anew.

    One try a call: waiting is `Retries`' work, which alone knows the budget. With an endpoint set, buckets are
    addressed by path, as servers other than AWS expect.

    Raises:
        TrainerError: a setting can never work.
    """
    settings = client_settings(environment)
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=16,
        retries={"total_max_attempts": 1, "mode": "standard"},
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
        tcp_keepalive=True,
    )
    session = boto3.Session()
    return session.client("s3", endpoint_url=settings.endpoint, region_name=settings.region, config=config)


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an address; keys found by listing may hold any character."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class S3Store:
    """`Store` on S3. Safe to use from several threads.

    Uploads carry a SHA-256 that the server checks; downloads are checked against the stored checksum where the
    server keeps one, and against the announced length always.
    """

    def __init__(
        self,
        unavailable_budget_seconds: float,
        *,
        make_client: Callable[[], S3Client] = client_from_environment,
        part_bytes: int = 16 * _MIB,
        history: AccessHistory | None = None,
    ) -> None:
        """`part_bytes`: files larger than this go up in parts of this size (S3 wants at least 5 MiB)."""
        self._make_client = make_client
        self._client = make_client()
        self._transfer = TransferConfig(multipart_threshold=part_bytes, multipart_chunksize=part_bytes)
        self._retries = Retries(
            unavailable_budget_seconds, renew_credentials=self._renew, history=history or AccessHistory()
        )
        self._uploader = Uploader(lambda: self._client, self._retries, part_bytes)

    def _renew(self) -> None:
        self._client = self._make_client()

    def _call(self, action: Callable[[], T], uri: str, right: Right = Right.READ) -> T:
        return self._retries.call(action, uri, right=right)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`. Each page of 1,000 is asked for when it is needed."""
        bucket, key = split(prefix.rstrip("/"))
        token: dict[str, Any] = {}
        while True:
            page = self._call(
                lambda token=token: self._client.list_objects_v2(  # type: ignore[misc]
                    Bucket=bucket, Prefix=f"{key}/" if key else "", **token
                ),
                prefix,
                Right.LIST,
            )
            for item in page.get("Contents", []):
                yield ObjectInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def info(self, uri: str) -> ObjectInfo | None:
        """See `Store.info`."""
        bucket, key = split(uri)
        head = self._or_none(lambda: self._client.head_object(Bucket=bucket, Key=key), uri)
        return None if head is None else ObjectInfo(uri, head["ContentLength"], head["ETag"])

    def read(self, uri: str) -> bytes:
        """See `Store.read`."""
        return self._call(lambda: self._get(uri), uri)

    def read_if_exists(self, uri: str) -> bytes | None:
        """See `Store.read_if_exists`. A missing bucket is an error all the same."""
        return self._or_none(lambda: self._get(uri), uri)

    def _get(self, uri: str) -> bytes:
        bucket, key = split(uri)
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def _or_none(self, action: Callable[[], T], uri: str) -> T | None:
        try:
            return self._retries.call(action, uri, handled=failures.is_missing)
        except failures.CLIENT_ERRORS as error:
            if failures.code_of(error) == "NoSuchBucket":
                raise failures.translate(error, uri) from error
            return None

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """See `Store.open`."""
        with ResumingStream(uri, self._get_from, self._retries) as raw:
            yield cast("BinaryIO", io.BufferedReader(raw, _READ_BUFFER))

    def _get_from(self, uri: str, position: int, etag: str | None) -> Mapping[str, Any]:
        bucket, key = split(uri)
        guard: dict[str, Any] = {} if etag is None else {"IfMatch": etag, "Range": f"bytes={position}-"}
        return self._client.get_object(Bucket=bucket, Key=key, **guard)

    def download(self, uri: str, path: Path) -> None:
        """See `Store.download`. Large objects come in parts side by side, all of one version of the object."""
        bucket, key = split(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._retries.call(
                lambda: self._client.download_file(bucket, key, str(path), Config=self._transfer),
                uri,
                handled=failures.is_taken,
            )
        except failures.CLIENT_ERRORS as error:
            raise failures.ObjectReplacedError(uri) from error

    def write(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `Store.write`."""
        self._call(lambda: self._put(uri, content, content_type), uri, Right.WRITE)

    def create(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """See `Store.create`."""
        return self._put_if(uri, content, content_type, IfNoneMatch="*")

    def replace(
        self, uri: str, content: bytes, expected: ObjectInfo, *, content_type: str = "application/octet-stream"
    ) -> bool:
        """See `Store.replace`."""
        return self._put_if(uri, content, content_type, IfMatch=expected.etag)

    def _put_if(self, uri: str, content: bytes, content_type: str, **guard: str) -> bool:
        """Do a guarded PUT.

        An answer may be lost after the object was stored; the next try then finds "something there" that is our own.
        So a refusal after a failed try is decided by what is there: our content means that we won.
        """
        tries = 0

        def put() -> None:
            nonlocal tries
            tries += 1
            self._put(uri, content, content_type, **guard)

        try:
            self._retries.call(put, uri, right=Right.WRITE, handled=failures.is_taken)
        except failures.CLIENT_ERRORS:
            return tries > 1 and self.read_if_exists(uri) == content
        return True

    def _put(self, uri: str, content: bytes, content_type: str, **guard: Any) -> None:
        bucket, key = split(uri)
        self._client.put_object(
            Bucket=bucket, Key=key, Body=content, ContentType=content_type, ChecksumSHA256=checksum_of(content), **guard
        )

    def upload(self, path: Path, uri: str, *, sha256: str | None = None) -> None:
        """See `Store.upload`."""
        self._uploader.put(path, *split(uri), sha256 or sha256_of(path), {})

    def upload_if(self, path: Path, uri: str, expected: ObjectInfo | None, *, sha256: str | None = None) -> bool:
        """See `Store.upload_if`."""
        guard = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected.etag}
        return self._uploader.put(path, *split(uri), sha256 or sha256_of(path), guard)

    def delete(self, prefix: str) -> None:
        """See `Store.delete`. Unfinished multipart uploads below the prefix go too."""
        bucket, key = split(prefix.rstrip("/"))
        self._delete_keys(bucket, [key] if key else [], prefix)
        batch: list[str] = []
        for info in self.list(prefix):
            batch.append(split(info.uri)[1])
            if len(batch) == _DELETE_BATCH:
                self._delete_keys(bucket, batch, prefix)
                batch = []
        self._delete_keys(bucket, batch, prefix)
        self.abort_uploads(prefix)

    def _delete_keys(self, bucket: str, keys: Sequence[str], uri: str) -> None:
        if not keys:
            return
        request: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}

        def remove() -> None:
            answer = self._client.delete_objects(Bucket=bucket, Delete=request)
            for failed in answer.get("Errors", []):
                if failed.get("Code") not in ("NoSuchKey", None):
                    # An error of one key comes inside a good answer; it is judged like any other.
                    raise ClientError({"Error": {"Code": failed["Code"]}}, "DeleteObjects")

        self._call(remove, uri, Right.DELETE)

    def abort_uploads(self, prefix: str) -> None:
        """Abort unfinished multipart uploads at and below a prefix: their parts cost money and show nowhere.

        Best effort: without the right to list uploads it says so in the log and goes on.
        """
        bucket, key = split(prefix.rstrip("/"))
        try:
            page = self._retries.call(
                lambda: self._client.list_multipart_uploads(Bucket=bucket, Prefix=key),
                prefix,
                right=Right.LIST,
                handled=lambda error: failures.classify(error) is not ErrorClass.TRANSIENT,
            )
        except failures.CLIENT_ERRORS as error:
            log.warning("cannot look for unfinished uploads below %s (%s)", prefix, failures.code_of(error))
            return
        for upload in page.get("Uploads", []):
            if upload["Key"] == key or upload["Key"].startswith(f"{key}/"):
                self._abort(bucket, upload["Key"], upload["UploadId"])

    def _abort(self, bucket: str, key: str, upload_id: str) -> None:
        uri = f"s3://{bucket}/{key}"
        try:
            self._retries.call(
                lambda: self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id),
                uri,
                right=Right.DELETE,
                handled=lambda error: failures.classify(error) is not ErrorClass.TRANSIENT,
            )
        except failures.CLIENT_ERRORS:
            return
