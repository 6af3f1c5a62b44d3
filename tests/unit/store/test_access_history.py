"""What the store allowed before decides whether a refusal is final or passes: key rotations, clock steps, quotas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, SSLError

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.store.access_history import AccessHistory, Right
from lora_trainer.store.failures import code_of
from lora_trainer.store.retry import FRESH_CREDENTIALS_SECONDS, Retries
from support.failing_calls import Time, always, answer, failing

OUTPUT = "s3://bucket/out/_work/1/checkpoint"
DATA = "s3://bucket/data.jsonl"
AREAS = ("s3://bucket/out/", DATA)

OF_THE_CREDENTIALS = [
    answer("RequestTimeTooSkewed", 403),
    answer("InvalidAccessKeyId", 403),
    answer("SignatureDoesNotMatch", 403),
    answer("ExpiredToken", 400),
    answer("InvalidToken", 400),
    NoCredentialsError(),
    SSLError(endpoint_url="https://s3", error=ValueError("CERTIFICATE_VERIFY_FAILED")),
]
FULL = [
    answer("QuotaExceeded", 403),
    answer("XMinioStorageFull", 507),
    answer("XMinioAdminBucketQuotaExceeded", 400),
    answer("InsufficientStorage", 507),
    answer("EntityTooLarge", 413),
]


def retries(time: Time, *, budget: float = 60, proven: bool = False) -> Retries:
    waiting = time.retries(budget)
    waiting.history = AccessHistory(AREAS, proven_by_prepare=proven)
    return waiting


def refusal(action: Callable[[], object]) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        action()
    return raised.value


@pytest.mark.parametrize("error", OF_THE_CREDENTIALS, ids=code_of)
def test_credentials_that_worked_before_are_tried_again(error: Exception) -> None:
    waiting = retries(Time())
    waiting.call(lambda: "done", DATA)

    assert waiting.call(failing(error, error, error), OUTPUT, right=Right.WRITE) == "done"


@pytest.mark.parametrize("error", [*OF_THE_CREDENTIALS, answer("AccessDenied", 403), answer("403", 403)], ids=code_of)
def test_a_refusal_that_lasts_ends_so_that_a_new_pod_reads_the_secret(error: Exception) -> None:
    time = Time()
    waiting = retries(time)
    waiting.call(lambda: "done", OUTPUT, right=Right.WRITE)

    ended = refusal(lambda: waiting.call(always(error), OUTPUT, right=Right.WRITE))

    assert ended.exit_code is ExitCode.UNAVAILABLE
    assert sum(time.waits) == pytest.approx(60)
    assert "for 60 s" in ended.message
    assert "worked before" in ended.message
    assert "new pod" in str(ended.hint)


def test_reading_never_proves_writing_and_one_place_never_another() -> None:
    time, denied = Time(), answer("AccessDenied", 403)
    waiting = retries(time)
    waiting.call(lambda: "done", OUTPUT)
    waiting.call(lambda: "done", OUTPUT, right=Right.LIST)

    never_written = refusal(lambda: waiting.call(always(denied), OUTPUT, right=Right.WRITE))
    never_read = refusal(lambda: waiting.call(always(denied), DATA))

    assert {never_written.exit_code, never_read.exit_code} == {ExitCode.ACCESS_DENIED}
    assert time.waits == []


def test_a_missing_object_proves_the_right_to_ask_for_it() -> None:
    waiting = retries(Time())
    with pytest.raises(ClientError):
        waiting.call(always(answer("NoSuchKey", 404)), DATA, handled=lambda error: True)

    assert waiting.call(failing(answer("AccessDenied", 403)), DATA) == "done"


def test_an_answer_of_a_store_in_trouble_proves_nothing() -> None:
    waiting = retries(Time())

    ended = refusal(lambda: waiting.call(failing(answer("SlowDown", 503), answer("AccessDenied", 403)), DATA))

    assert ended.exit_code is ExitCode.ACCESS_DENIED


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "AccessDenied"])
def test_a_train_pod_trusts_that_prepare_had_access_but_holds_its_gpu_for_a_moment_only(code: str) -> None:
    time = Time()

    ended = refusal(lambda: retries(time, proven=True).call(always(answer(code, 403)), OUTPUT, right=Right.WRITE))

    assert ended.exit_code is ExitCode.UNAVAILABLE
    assert sum(time.waits) == pytest.approx(FRESH_CREDENTIALS_SECONDS)


@pytest.mark.parametrize("error", FULL, ids=code_of)
def test_a_full_bucket_is_called_full_and_waited_for_once_it_was_not(error: Exception) -> None:
    time = Time()
    waiting = retries(time)

    at_once = refusal(lambda: waiting.call(always(error), OUTPUT, right=Right.WRITE))
    assert time.waits == []
    waiting.call(lambda: "done", OUTPUT, right=Right.WRITE)
    later = refusal(lambda: waiting.call(always(error), OUTPUT, right=Right.WRITE))

    assert sum(time.waits) == pytest.approx(60)
    for ended in (at_once, later):
        assert ended.exit_code is ExitCode.STORAGE_FULL
        assert "is full" in ended.message
        assert "free space" in str(ended.hint)
        assert "Secret" not in str(ended.hint)
