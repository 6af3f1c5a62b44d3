"""From what S3 clients raise to what a user reads: which failures pass by themselves, and words for the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as EndpointError
from s3transfer.exceptions import S3DownloadFailedError, S3UploadFailedError
from urllib3.exceptions import HTTPError

from lora_contract import names, spec_paths
from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError

#: What a client call may raise; `OSError` covers sockets and the local disk.
CLIENT_ERRORS = (BotoCoreError, ClientError, Boto3Error, S3DownloadFailedError, S3UploadFailedError, HTTPError, OSError)

_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",  # the bytes were damaged on the way
        "ConditionalRequestConflict",  # another PUT of the same key was under way
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "XAmzContentChecksumMismatch",
    }
)
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_CREDENTIAL_CODES = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_DENIED_CODES = frozenset({"AccessDenied", "Forbidden", "UnauthorizedAccess"})
_FULL_CODES = frozenset(
    {
        "EntityTooLarge",  # no request of ours is near a limit on one object: Swift's answer to a full container
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
_OTHER_REGION_CODES = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "301"})
_MISSING_CODES = frozenset({"NoSuchBucket", "NoSuchKey", "NotFound", "404"})
_TRANSIENT_TYPES = (
    FlexibleChecksumError,
    HTTPClientError,
    HTTPError,
    IncompleteReadError,
    ResponseStreamingError,
    RetriesExceededError,
    CredentialRetrievalError,
    EndpointError,
    ConnectionError,
    TimeoutError,
)
_SECRET_HINT = (
    "check the keys in the Secret named by spec.storage.secretName, or what spec.storage.serviceAccountName may do"  # noqa: S105 - words
)


class ErrorClass(Enum):
    """What a failed call is about, which decides what to do."""

    TRANSIENT = auto()
    """The store is away, busy or in trouble."""
    CREDENTIALS = auto()
    """The store does not accept who asks, or is not the one that was meant: key, token, clock, certificate."""
    DENIED = auto()
    """The store knows who asks, and does not allow this."""
    FULL = auto()
    """There is no room left: the disk or a quota."""
    PERMANENT = auto()
    """The same will be answered again."""


class ObjectReplacedError(TrainerError):
    """There is another object at an address than the one whose first part was read."""

    def __init__(self, uri: str) -> None:
        """`uri` is the address."""
        super().__init__(
            ExitCode.UNAVAILABLE,
            f"{uri} was replaced while it was read",
            hint="do not change inputs while a run reads them",
        )


@contextmanager
def about(param: str) -> Iterator[None]:
    """Name the field of the spec that a `TrainerError` from inside is about, unless it names one already."""
    try:
        yield
    except TrainerError as error:
        if error.param is None:
            error.param = param
        raise


def code_of(error: BaseException) -> str:
    """Return the S3 error code, or the name of the exception where no server answered."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an answer that was an error."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
    return None


def is_missing(error: BaseException) -> bool:
    """Tell whether the object (or, on HEAD, perhaps the bucket) does not exist."""
    return code_of(error) in _MISSING_CODES or (status_of(error) == 404 and code_of(error) not in _TRANSIENT_CODES)


def is_taken(error: BaseException) -> bool:
    """Tell whether the condition of a PUT did not hold: there is another object than expected."""
    return status_of(error) == 412


def is_aborted(error: BaseException) -> bool:
    """Tell whether a multipart upload is gone: aborted by another process, or completed before."""
    return code_of(error) == "NoSuchUpload"


def _is_untrusted(error: BaseException) -> bool:
    return isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


def unwrap(error: BaseException) -> BaseException:
    """Return the client error inside the wrapper that boto3's transfer functions put around it."""
    if isinstance(error, Boto3Error | S3UploadFailedError | S3DownloadFailedError):
        inner = error.__cause__ or error.__context__
        return error if inner is None else unwrap(inner)
    return error


def is_expired(error: BaseException) -> bool:
    """Tell whether temporary credentials are past their time; new ones may be written at any moment."""
    return code_of(error) in _EXPIRED_CODES


def proves_access(error: BaseException) -> bool:
    """Tell whether an error answers a allowed request: there is no such object, or another one than expected."""
    return is_taken(error) or (is_missing(error) and code_of(error) != "NoSuchBucket")


def classify(error: BaseException) -> ErrorClass:
    """Return what a call that failed so is about."""
    code, status = code_of(error), status_of(error)
    if code in _FULL_CODES or status == 507:
        return ErrorClass.FULL
    if code in _CREDENTIAL_CODES or code in _EXPIRED_CODES or _is_untrusted(error):
        return ErrorClass.CREDENTIALS
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ErrorClass.CREDENTIALS
    if code in _TRANSIENT_CODES or status in (408, 429) or (status is not None and status >= 500 and status != 501):
        return ErrorClass.TRANSIENT
    if isinstance(error, _TRANSIENT_TYPES) and not _is_malformed(error):
        return ErrorClass.TRANSIENT
    if code in _DENIED_CODES or status in (401, 403):
        return ErrorClass.DENIED
    return ErrorClass.PERMANENT


def _is_malformed(error: BaseException) -> bool:
    """Tell whether the request could not even be written, for instance a header with a line end in it."""
    return isinstance(error, HTTPClientError) and isinstance(error.kwargs.get("error"), ValueError)


def _is_of_key_id(error: BaseException) -> bool:
    """Tell whether the header of key, date and region cannot be read; of a wrong region S3 says which is right."""
    if code_of(error) != "AuthorizationHeaderMalformed" or not isinstance(error, ClientError):
        return False
    said = error.response.get("Error", {})
    return "Region" not in said and "region" not in str(said.get("Message", "")).lower()


def translate(error: BaseException, uri: str) -> TrainerError:
    """Return the words for a permanent failure. They never hold a key: only codes and addresses come from the error."""
    code, status = code_of(error), status_of(error)
    refused = _refused(error, uri)
    if refused is not None:
        return refused
    if is_aborted(error):
        return TrainerError(ExitCode.UNAVAILABLE, f"another process aborted the upload of {uri}")
    if is_missing(error):
        return missing(uri, bucket=code == "NoSuchBucket")
    if code in _OTHER_REGION_CODES and not _is_of_key_id(error):
        return TrainerError(
            ExitCode.BAD_CONFIG,
            f"the bucket of {uri} is in another region",
            hint="set AWS_REGION in the Secret named by spec.storage.secretName to the bucket's region",
        )
    if _is_untrusted(error):
        return TrainerError(
            ExitCode.BAD_CONFIG,
            f"the certificate of the S3 endpoint is not trusted ({uri})",
            param=spec_paths.STORAGE_ENDPOINT,
            hint="use the name that the certificate is for; ask the platform team to give pods its authority",
        )
    if isinstance(error, OSError):
        return TrainerError(ExitCode.INTERNAL, f"cannot read or write for {uri}: {error.strerror or error}")
    return TrainerError(ExitCode.INTERNAL, f"S3 refuses a request for {uri} ({code}, HTTP status {status})")


def _refused(error: BaseException, uri: str) -> TrainerError | None:
    code, status = code_of(error), status_of(error)
    if classify(error) is ErrorClass.FULL:
        return storage_full(uri, code)
    if isinstance(error, NoCredentialsError):
        hint = "set spec.storage.secretName, or spec.storage.serviceAccountName to an account with a cloud identity"
        return denied(f"there are no credentials for {uri}", hint=hint)
    if isinstance(error, PartialCredentialsError):
        return denied(f"the credentials for {uri} are incomplete")
    if code == "RequestTimeTooSkewed":
        return denied(f"S3 refuses {uri}: the clock of this node is wrong", hint="set the node's clock (NTP)")
    if _is_of_key_id(error):
        return denied(f"S3 cannot make out the key in AWS_ACCESS_KEY_ID ({code}, {uri})")
    if code in _CREDENTIAL_CODES or code in _EXPIRED_CODES or code in _DENIED_CODES or status in (401, 403):
        return denied(f"S3 denies access to {uri} ({code})")
    return None


def missing(uri: str, *, bucket: bool = False) -> TrainerError:
    """Make the error for an address at which there is nothing."""
    if bucket:
        name = uri.removeprefix("s3://").partition("/")[0]
        return TrainerError(ExitCode.INPUT_MISSING, f"there is no bucket {name!r} ({uri})", hint="check the address")
    return TrainerError(ExitCode.INPUT_MISSING, f"there is no {uri}", hint="check the address")


def denied(message: str, *, hint: str = _SECRET_HINT) -> TrainerError:
    """Make the error for a store that does not know us, or does not allow this."""
    return TrainerError(ExitCode.ACCESS_DENIED, message, hint=hint)


def storage_full(uri: str, code: str) -> TrainerError:
    """Make the error for storage that has no room for what is to be written."""
    return TrainerError(
        ExitCode.STORAGE_FULL,
        f"the storage behind {uri} is full ({code})",
        hint="free space there or raise its quota; the run goes on from its last checkpoint",
    )


def refused_for_now(refusal: TrainerError, seconds: float) -> TrainerError:
    """Make the error for what was allowed before and is refused for long: a new pod reads the Secret anew."""
    return TrainerError(
        ExitCode.UNAVAILABLE,
        f"{refusal.message}, for {seconds:.0f} s, though it worked before",
        hint=f"{refusal.hint}; a new pod tries again with what the Secret holds then" if refusal.hint else None,
    )


def unavailable(uri: str, cause: str, seconds: float) -> TrainerError:
    """Make the error for a store that stayed away for longer than the budget."""
    endpoint = os.environ.get(names.ENV_S3_ENDPOINT) or "the S3 service of the region"
    return TrainerError(
        ExitCode.UNAVAILABLE,
        f"S3 did not serve {uri} for {seconds:.0f} s ({cause})",
        hint=f"check that {endpoint} (spec.storage.endpoint, else the platform's default) answers from the cluster",
    )
