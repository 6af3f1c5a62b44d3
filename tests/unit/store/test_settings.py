"""Settings of the S3 client that can never work end the run at once, by the name of the variable, never its value."""

from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_S3_ENDPOINT
from lora_trainer.errors import TrainerError
from lora_trainer.store.settings import ClientSettings, client_settings

GOOD = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalr/XUtn+FEMI=",
    "AWS_REGION": "us-east-1",
    ENV_S3_ENDPOINT: "http://127.0.0.1:8333",
}
SECRET = "spec.storage.secretName"
ENDPOINT = "spec.storage.endpoint"


def test_good_settings_are_taken_as_they_are() -> None:
    assert client_settings(GOOD) == ClientSettings("http://127.0.0.1:8333", "us-east-1")
    assert client_settings({}) == ClientSettings(None, "us-east-1")


@pytest.mark.parametrize(
    ("name", "value", "problem", "param", "code"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE\n", "ends in a line end", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_SECRET_ACCESS_KEY", "wJalr\r\n", "ends in a line end", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_SESSION_TOKEN", " token", "white space", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_ACCESS_KEY_ID", "AKID\x00EXAMPLE", "control character", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_SECRET_ACCESS_KEY", "schlüssel", "no ASCII", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_ACCESS_KEY_ID", '"AKIDEXAMPLE"', "stands in quotes", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_SECRET_ACCESS_KEY", "'wJalr'", "stands in quotes", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_ACCESS_KEY_ID", "\ufeffAKIDEXAMPLE", "begins with a byte order mark", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_SECRET_ACCESS_KEY", "wJ\udcfflr", "bytes that are no text", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_REGION", '"us-east-1"', "stands in quotes", SECRET, ExitCode.ACCESS_DENIED),
        (ENV_S3_ENDPOINT, '"http://s3.example.org"', "stands in quotes", ENDPOINT, ExitCode.BAD_CONFIG),
        ("AWS_SECRET_ACCESS_KEY", "", "is empty", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_REGION", "us-east-1\n", "ends in a line end", SECRET, ExitCode.ACCESS_DENIED),
        ("AWS_REGION", "us_east_1", "no name of a region", SECRET, ExitCode.BAD_CONFIG),
        (ENV_S3_ENDPOINT, "http://s3.example.org/bucket", "has a path", ENDPOINT, ExitCode.BAD_CONFIG),
        (ENV_S3_ENDPOINT, "s3.example.org", "http://", ENDPOINT, ExitCode.BAD_CONFIG),
        (ENV_S3_ENDPOINT, "http://s3.example.org:99999", "port", ENDPOINT, ExitCode.BAD_CONFIG),
        (ENV_S3_ENDPOINT, "http://user:password@s3.example.org", "holds a user", ENDPOINT, ExitCode.BAD_CONFIG),
        (ENV_S3_ENDPOINT, "http://s3.example.org\n", "ends in a line end", ENDPOINT, ExitCode.BAD_CONFIG),
    ],
)
def test_what_can_never_work_is_refused(name: str, value: str, problem: str, param: str, code: ExitCode) -> None:
    with pytest.raises(TrainerError) as raised:
        client_settings({**GOOD, name: value})

    assert raised.value.exit_code is code
    assert name in raised.value.message
    assert problem in raised.value.message
    assert raised.value.param == param
    assert raised.value.hint
    said = f"{raised.value.message} {raised.value.hint}"
    assert not any(part and part in said for part in (value.strip(), "password") if part != "s3.example.org")


@pytest.mark.parametrize(("region", "known"), [("eu-central-1", True), ("us-esat-1", False), ("default", False)])
def test_without_an_endpoint_the_region_must_be_one_of_aws(
    region: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_name(*_: object) -> list[object]:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", no_such_name)
    if known:
        assert client_settings({"AWS_REGION": region}).region == region
        return
    with pytest.raises(TrainerError, match="AWS_REGION") as raised:
        client_settings({"AWS_REGION": region})
    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert "storage.endpoint" in str(raised.value.hint)


def test_a_region_that_is_newer_than_this_image_is_one_if_its_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])

    assert client_settings({"AWS_REGION": "eu-north-9"}).region == "eu-north-9"
