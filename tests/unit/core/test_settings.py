"""Settings come from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lora_operator.__main__ import main
from lora_operator.settings import Settings


def test_lists_are_separated_by_commas_and_the_authority_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    monkeypatch.setenv("LORA_OPERATOR_TRAINER_IMAGE", "trainer:1")
    monkeypatch.setenv("LORA_OPERATOR_ALLOWED_S3_ENDPOINTS", "https://a, https://b")
    monkeypatch.setenv("LORA_OPERATOR_PROGRESS_CA_FILE", str(authority))

    settings = Settings()

    assert settings.allowed_s3_endpoints == ("https://a", "https://b")
    assert settings.watch_namespaces == ()
    assert settings.progress_ca.startswith("-----BEGIN")


@pytest.mark.parametrize(
    ("text", "size"),
    [("80Gi", 80 << 30), ("24576Mi", 24 << 30), ("1.5G", 1_500_000_000), ("1.073741824e+11", 100 << 30), ("", None)],
)
def test_the_gpu_memory_is_written_as_a_quantity(text: str, size: int | None) -> None:
    assert Settings(trainer_image="t", gpu_memory=text).gpu_memory == size  # type: ignore[arg-type]


def test_a_size_without_a_unit_is_refused() -> None:
    with pytest.raises(ValidationError, match="write it as 80Gi"):
        Settings(trainer_image="t", gpu_memory="80")  # type: ignore[arg-type]


@pytest.mark.parametrize("half", [{"gpu_price_per_hour": "2.50"}, {"gpu_price_currency": "EUR"}])
def test_a_price_needs_its_currency(half: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="gpu_price_per_hour and gpu_price_currency"):
        Settings(trainer_image="t", **half)  # type: ignore[arg-type]


def test_a_missing_image_is_named() -> None:
    with pytest.raises(ValidationError, match="trainer_image"):
        Settings()


def test_half_a_certificate_is_refused() -> None:
    with pytest.raises(ValidationError, match="tls_key_file"):
        Settings(trainer_image="t", progress_url="https://x", tls_cert_file=Path("/tls.crt"))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"prepare_cpu_limit": "100m"}, "must not be below prepare_cpu"),
        ({"train_cpu_limit": "many"}, "write it as a quantity"),
    ],
)
def test_limits_with_which_no_pod_could_be_made_are_refused_at_the_start(limits: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(trainer_image="t", **limits)  # type: ignore[arg-type]


def test_a_wrong_setting_is_named_by_its_variable_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORA_OPERATOR_TRAINER_IMAGE", "trainer:1")
    monkeypatch.setenv("LORA_OPERATOR_PREPARE_MEMORY", "much")

    assert main() != 0

    said = capsys.readouterr().err
    assert said.startswith("LORA_OPERATOR_PREPARE_MEMORY: write it as")
    assert "Value error" not in said


def test_a_setting_that_is_no_json_is_named_without_a_stack_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORA_OPERATOR_TRAINER_IMAGE", "trainer:1")
    monkeypatch.setenv("LORA_OPERATOR_RUN_EGRESS", "{not json")

    assert main() != 0

    said = capsys.readouterr().err
    assert "run_egress" in said
    assert "line 1 column 2" in said
    assert "Traceback" not in said
