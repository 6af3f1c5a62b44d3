"""Bad input ends before a GPU is asked for, soon, and with words that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus
from lora_demo import model
from lora_demo.seaweedfs import ADMIN, Identity
from support import e2e
from support.e2e import NAMESPACE, SILENT_ENDPOINT, Rig

_GOOD_ROW = '{"messages": [{"role": "user", "content": "q%d"}, {"role": "assistant", "content": "a"}]}'
#: Runs side by side: a prepare pod uses a core for some seconds.
_PARALLEL = 3
_SECONDS_AFTER_START = 30.0
#: Where a pod waits for S3 by itself and a second pod tries again.
_SECONDS_WITH_RETRIES = 90.0


@dataclass(frozen=True)
class Case:
    """Something wrong with the input, and what must be said about it."""

    name: str
    reason: Reason
    says: tuple[str, ...]
    changes: dict[str, Any]
    given: Callable[[Rig], None] = field(default=lambda rig: None)
    seconds: float = _SECONDS_AFTER_START


def _data(address: str, *lines: str) -> Callable[[Rig], None]:
    return lambda rig: rig.put(address, "".join(f"{line}\n" for line in lines))


def _dataset(key: str) -> dict[str, Any]:
    return {"dataset": {"uri": f"s3://datasets/{key}"}}


def _bin_only_model(rig: Rig) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        rig.put(f"s3://models/bin-only/{name}", (model.directory() / name).read_text())
    rig.put("s3://models/bin-only/pytorch_model.bin", "not read")


def _wrong_keys(rig: Rig) -> None:
    stranger = Identity("stranger", "demo-stranger", "demo-stranger-secret", ())
    rig.platform.storage.give_access(NAMESPACE, secret="wrong-keys", identity=stranger)


def _admin_keys(rig: Rig) -> None:
    """Keys that may see every bucket: those of a tenant are denied a bucket that does not exist."""
    rig.platform.storage.give_access(NAMESPACE, secret="admin-keys", identity=ADMIN)


CASES = (
    # First, because it waits longest; the others end meanwhile.
    Case(
        "unreachable-s3", Reason.RETRIES_EXHAUSTED, ("Unavailable",), {"storage": {"endpoint": SILENT_ENDPOINT}},
        seconds=_SECONDS_WITH_RETRIES,
    ),
    Case(
        "malformed-json", Reason.BAD_DATA, ("malformed.jsonl, line 3", "JSON"), _dataset("bad/malformed.jsonl"),
        _data("s3://datasets/bad/malformed.jsonl", _GOOD_ROW % 1, _GOOD_ROW % 2, '{"messages": [', _GOOD_ROW % 4),
    ),
    Case(
        "wrong-columns", Reason.BAD_DATA, ("foo", "columns"), _dataset("bad/columns.jsonl"),
        _data("s3://datasets/bad/columns.jsonl", '{"foo": "a", "bar": "b"}', '{"foo": "c", "bar": "d"}'),
    ),
    Case(
        "empty-file", Reason.BAD_DATA, ("no rows",), _dataset("bad/empty.jsonl"),
        _data("s3://datasets/bad/empty.jsonl"),
    ),
    Case("missing-object", Reason.INPUT_MISSING, ("s3://datasets/nowhere.jsonl",), _dataset("nowhere.jsonl")),
    Case(
        "missing-bucket", Reason.INPUT_MISSING, ("no-such-bucket",),
        {"dataset": {"uri": "s3://no-such-bucket/triage.jsonl"}, "storage": {"secretName": "admin-keys"}}, _admin_keys,
    ),
    Case("wrong-credentials", Reason.ACCESS_DENIED, ("s3://",), {"storage": {"secretName": "wrong-keys"}}, _wrong_keys),
    Case("missing-secret", Reason.SECRET_MISSING, ("no-such-secret",), {"storage": {"secretName": "no-such-secret"}}),
    Case(
        "missing-model", Reason.INPUT_MISSING, ("s3://models/nowhere",),
        {"model": {"source": "s3://models/nowhere/"}},
    ),
    Case(
        "bin-only-model", Reason.UNSUPPORTED, ("safetensors",), {"model": {"source": "s3://models/bin-only/"}},
        _bin_only_model,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def ended(rig: Rig) -> dict[str, tuple[LoRAFineTuneStatus, list[dict[str, Any]]]]:
    """Status and train Jobs of every case, run a few at a time."""

    def end(case: Case) -> tuple[LoRAFineTuneStatus, list[dict[str, Any]]]:
        case.given(rig)
        run = rig.create(case.name, case.changes)
        return run.wait_finished(e2e.REACTION_SECONDS * 2), run.train_jobs()

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip((case.name for case in CASES), pool.map(end, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_ends_soon_without_a_gpu_and_says_what_to_do(
    ended: dict[str, tuple[LoRAFineTuneStatus, list[dict[str, Any]]]], case: Case
) -> None:
    status, train_jobs = ended[case.name]
    assert status.phase == "Failed"
    assert train_jobs == []
    assert status.error is not None
    assert status.error.code == case.reason, status.error
    told = f"{status.error.param} {status.error.message}"
    assert all(word in told for word in case.says), status.error
    assert status.error.hint, status.error
    assert "Traceback" not in status.error.message
    assert _seconds(status) <= case.seconds


def test_no_secret_key_is_told_anywhere(rig: Rig, ended: object) -> None:
    objects = rig.kubernetes.run("get", "lft,jobs,pods,events", f"--namespace={NAMESPACE}", "--output=yaml")
    assert "demo-tenant-secret" not in objects
    assert "demo-stranger-secret" not in objects
    assert ADMIN.secret_key not in objects


def _seconds(status: LoRAFineTuneStatus) -> float:
    """From the start of the first prepare container (of the run, where none started) to the end of the run."""
    started = [attempt.start_time for attempt in status.attempts if attempt.start_time]
    first = min(started, default=status.start_time)
    assert first is not None
    assert status.completion_time is not None
    return (datetime.fromisoformat(status.completion_time) - datetime.fromisoformat(first)).total_seconds()
