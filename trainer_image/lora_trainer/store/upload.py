"""Files to S3: whole where they are small, in parts where they are large, always with checksums the server checks."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_trainer.store import failures
from lora_trainer.store.access_history import Right
from lora_trainer.store.retry import Retries

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_THREADS = 4
#: Name of the user metadata that holds the sha256 of the whole file; S3 itself keeps one per part only.
SHA256 = "sha256"


def checksum_of(content: bytes) -> str:
    """Return the SHA-256 of a body as S3 writes it; a header carries it, for not all servers read trailers."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class Uploader:
    """Puts files. `guard` holds `IfMatch` or `IfNoneMatch`; each method answers False where it did not hold."""

    def __init__(self, client: Callable[[], S3Client], retries: Retries, part_bytes: int) -> None:
        self._client = client
        self._retries = retries
        self._part_bytes = part_bytes

    def put(self, path: Path, bucket: str, key: str, sha256: str, guard: dict[str, str]) -> bool:
        """Put one file; each part is tried again on its own, and nothing unfinished is left on failure."""
        if path.stat().st_size <= self._part_bytes:
            return self._guarded(lambda: self._put_whole(path, bucket, key, sha256, guard), bucket, key, sha256)
        return self._put_in_parts(path, bucket, key, sha256, guard)

    def _put_whole(self, path: Path, bucket: str, key: str, sha256: str, guard: dict[str, str]) -> None:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        options: dict[str, Any] = {"ChecksumSHA256": checksum, "Metadata": {SHA256: sha256}, **guard}
        with path.open("rb") as body:
            self._client().put_object(Bucket=bucket, Key=key, Body=body, **options)

    def _put_in_parts(self, path: Path, bucket: str, key: str, sha256: str, guard: dict[str, str]) -> bool:
        uri = f"s3://{bucket}/{key}"
        upload_id = self._retries.call(
            lambda: self._client().create_multipart_upload(
                Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256", Metadata={SHA256: sha256}
            ),
            uri,
            right=Right.WRITE,
        )["UploadId"]
        target: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        won = False
        try:
            parts = self._parts(path, uri, target)
            options: dict[str, Any] = {**target, "MultipartUpload": {"Parts": parts}, **guard}
            won = self._guarded(lambda: self._client().complete_multipart_upload(**options), bucket, key, sha256)
        finally:
            if not won:
                self._abort(uri, target)
        return won

    def _parts(self, path: Path, uri: str, target: dict[str, Any]) -> list[dict[str, Any]]:
        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * self._part_bytes)
                body = file.read(self._part_bytes)
            options: dict[str, Any] = {
                **target,
                "PartNumber": number,
                "Body": body,
                "ChecksumSHA256": checksum_of(body),
            }
            answer: Any = self._retries.call(lambda: self._client().upload_part(**options), uri, right=Right.WRITE)
            kept = {name: answer[name] for name in ("ETag", "ChecksumSHA256") if name in answer}
            return {"PartNumber": number, **kept}

        count = -(-path.stat().st_size // self._part_bytes)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="upload") as pool:
            return list(pool.map(send, range(1, count + 1)))

    def _guarded(self, action: Callable[[], Any], bucket: str, key: str, sha256: str) -> bool:
        """Call `action`; after a failed try, "taken" or "no such upload" may be the echo of our own success."""
        uri = f"s3://{bucket}/{key}"
        tries = 0

        def counted() -> None:
            nonlocal tries
            tries += 1
            action()

        try:
            self._retries.call(
                counted, uri, right=Right.WRITE, handled=lambda e: failures.is_taken(e) or failures.is_aborted(e)
            )
        except failures.CLIENT_ERRORS as error:
            if tries > 1 and self.sha256_of(bucket, key) == sha256:
                return True
            if failures.is_taken(error):
                return False
            raise failures.translate(error, uri) from error
        return True

    def sha256_of(self, bucket: str, key: str) -> str | None:
        """Return what an earlier upload of ours noted about the object that is there now."""
        try:
            head = self._retries.call(
                lambda: self._client().head_object(Bucket=bucket, Key=key),
                f"s3://{bucket}/{key}",
                handled=failures.is_missing,
            )
        except failures.CLIENT_ERRORS:
            return None
        return head["Metadata"].get(SHA256)

    def _abort(self, uri: str, target: dict[str, Any]) -> None:
        """Try once: a server that is away is asked again by `abort_uploads` of whoever comes next."""
        try:
            self._client().abort_multipart_upload(
                Bucket=target["Bucket"], Key=target["Key"], UploadId=target["UploadId"]
            )
        except failures.CLIENT_ERRORS as error:
            log.warning("the unfinished upload of %s stays for now (%s)", uri, failures.code_of(error))
