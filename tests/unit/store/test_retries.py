"""Waiting for a store: how long, how often, and what is never waited for."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.store.failures import code_of
from lora_trainer.store.retry import FRESH_CREDENTIALS_SECONDS
from support.failing_calls import Time, always, answer, failing

URI = "s3://bucket/key"


@pytest.mark.parametrize(
    "error",
    [
        answer("SlowDown", 503),
        answer("InternalError", 500),
        answer("RequestTimeout", 400),
        answer("502", 502),
        answer("429", 429),
        answer("ConditionalRequestConflict", 409),
        EndpointConnectionError(endpoint_url="http://s3"),
        ConnectTimeoutError(endpoint_url="http://s3"),
        ReadTimeoutError(endpoint_url="http://s3"),
        ConnectionResetError("reset"),
    ],
    ids=code_of,
)
def test_what_passes_by_itself_is_tried_again(error: Exception) -> None:
    assert Time().retries(60).call(failing(error, error, error), URI) == "done"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (answer("NoSuchKey", 404), ExitCode.INPUT_MISSING),
        (answer("NoSuchBucket", 404), ExitCode.INPUT_MISSING),
        (answer("404", 404), ExitCode.INPUT_MISSING),
        (answer("AccessDenied", 403), ExitCode.ACCESS_DENIED),
        (answer("InvalidAccessKeyId", 403), ExitCode.ACCESS_DENIED),
        (answer("SignatureDoesNotMatch", 403), ExitCode.ACCESS_DENIED),
        (answer("RequestTimeTooSkewed", 403), ExitCode.ACCESS_DENIED),
        (answer("403", 403), ExitCode.ACCESS_DENIED),
        (NoCredentialsError(), ExitCode.ACCESS_DENIED),
        (answer("PermanentRedirect", 301), ExitCode.BAD_CONFIG),
        (answer("AuthorizationHeaderMalformed", 400, "the region 'x' is wrong; expecting 'y'"), ExitCode.BAD_CONFIG),
        (answer("AuthorizationHeaderMalformed", 400, "the Credential is mal-formed"), ExitCode.ACCESS_DENIED),
        (SSLError(endpoint_url="https://s3", error=ValueError("CERTIFICATE_VERIFY_FAILED")), ExitCode.BAD_CONFIG),
        (answer("NoSuchUpload", 404), ExitCode.UNAVAILABLE),
        (OSError(28, "No space left on device"), ExitCode.INTERNAL),
        (answer("InvalidRequest", 400), ExitCode.INTERNAL),
    ],
    ids=lambda value: value.name if isinstance(value, ExitCode) else code_of(value),
)
def test_what_is_permanent_fails_at_once_with_its_code(error: Exception, code: ExitCode) -> None:
    time = Time()

    with pytest.raises(TrainerError) as raised:
        time.retries(600).call(always(error), URI)

    assert raised.value.exit_code is code
    assert time.waits == []


def test_waits_grow_up_to_a_limit_and_end_with_the_budget() -> None:
    time = Time()

    with pytest.raises(TrainerError) as raised:
        time.retries(60).call(always(answer("SlowDown", 503)), URI)

    assert time.waits[:6] == [0.25, 0.5, 1, 2, 4, 8]
    assert max(time.waits) == 10
    assert sum(time.waits) == pytest.approx(60)
    assert raised.value.exit_code is ExitCode.UNAVAILABLE
    assert "60 s (SlowDown)" in raised.value.message


def test_the_budget_starts_with_the_first_failure_of_each_call() -> None:
    time = Time()
    retries = time.retries(10)

    for _ in range(3):
        assert retries.call(failing(*[answer("SlowDown", 503)] * 5), URI) == "done"


def test_expired_credentials_are_renewed_and_not_waited_for_as_long_as_a_server() -> None:
    renewals: list[int] = []
    time = Time()

    with pytest.raises(TrainerError) as raised:
        time.retries(600, renew=lambda: renewals.append(1)).call(always(answer("ExpiredToken", 400)), URI)

    assert raised.value.exit_code is ExitCode.ACCESS_DENIED
    assert len(renewals) == len(time.waits) + 1
    assert sum(time.waits) == pytest.approx(FRESH_CREDENTIALS_SECONDS)


def test_errors_the_caller_handles_go_through() -> None:
    with pytest.raises(ClientError):
        Time().retries(60).call(always(answer("NoSuchKey", 404)), URI, handled=lambda error: True)


def test_an_error_of_ours_is_not_taken_for_one_of_the_store() -> None:
    with pytest.raises(ZeroDivisionError):
        Time().retries(60).call(always(ZeroDivisionError()), URI)
