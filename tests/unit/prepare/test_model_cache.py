"""A model in a cache is downloaded once, whole or not at all, and used by every later run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer import model_files
from lora_trainer import store as stores
from lora_trainer.errors import TrainerError
from support.prepare_orders import Place, place


def _staged(run: Place, into: str = "into", **changes: object) -> model_files.StagedModel:
    order = run.order.model_copy(update=changes)
    return model_files.stage(order, stores.from_environment(2), run.folder / into)


def test_a_cached_model_is_whole_and_used_again(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    first = _staged(run)
    weights = first.path / "model.safetensors"
    written = weights.stat().st_mtime_ns

    second = _staged(run)

    assert second == first
    assert first.path.is_relative_to(tmp_path / "cache")
    assert weights.stat().st_mtime_ns == written


def test_a_model_without_cache_is_whole_for_training_and_small_for_preparing(tmp_path: Path) -> None:
    run = place(tmp_path)

    small = _staged(run)
    whole = _staged(run, "whole", stage="train")

    assert small.commit == whole.commit
    assert not (small.path / "model.safetensors").exists()
    assert (whole.path / "model.safetensors").read_bytes() == (tmp_path / "model" / "model.safetensors").read_bytes()


def test_a_model_on_this_machine_is_used_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A disk without room for a copy
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=0))
    # The model is staged for training without a cache, and what was staged is removed
    weights = _staged(place(tmp_path), stage="train").path / "model.safetensors"
    # Its weights are those of the source, which outlive the staged folder
    assert weights.resolve() == tmp_path / "model" / "model.safetensors"
    shutil.rmtree(weights.parent)
    assert (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("damage", ["cut", "gone", "no record"])
def test_a_damaged_model_in_the_cache_is_staged_again(damage: str, tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    first = _staged(run)
    weights = first.path / "model.safetensors"
    if damage == "cut":
        os.truncate(weights, 100)
    else:
        (weights if damage == "gone" else first.path / ".staged.json").unlink()

    assert _staged(run) == first
    assert weights.read_bytes() == (tmp_path / "model" / "model.safetensors").read_bytes()


def test_what_a_killed_process_left_is_cleared_and_staged_anew(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    first = _staged(run)
    partial = first.path.with_name(f"{first.path.name}.partial")
    first.path.rename(partial)
    (partial / "half.safetensors").write_bytes(b"half")

    second = _staged(run)

    assert second == first
    assert not partial.exists()
    assert not (second.path / "half.safetensors").exists()


def test_a_second_process_waits_for_the_first_and_uses_its_model(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    folder = _staged(run).path
    code = textwrap.dedent(f"""
        import fcntl, os, sys
        handle = os.open({str(folder) + ".lock"!r}, os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_EX)
        print("locked", flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        order = tmp_path / "order.json"
        order.write_text(run.order.model_dump_json(by_alias=True))
        script = textwrap.dedent(f"""
            from pathlib import Path
            from lora_contract.order import Order
            from lora_trainer import model_files, store
            order = Order.model_validate_json(Path({str(order)!r}).read_text())
            print(model_files.stage(order, store.from_environment(2), Path({str(tmp_path)!r})).path)
        """)
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as waiting:
            _wait_until_blocked(waiting.pid)
            assert waiting.poll() is None
            holder.stdin.close()
            answer, _ = waiting.communicate(timeout=60)
    assert answer.strip() == str(folder)


def _wait_until_blocked(pid: int) -> None:
    """Until the kernel lists the process as waiting for a lock."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()):
            return
        time.sleep(0.02)
    raise AssertionError("the process does not wait for the lock")


def test_a_model_that_changed_since_it_was_prepared_is_refused(tmp_path: Path) -> None:
    run = place(tmp_path)
    report = run.prepare()
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rope_theta": 1.0}))

    with pytest.raises(TrainerError, match="changed since the run was prepared") as raised:
        _staged(run, stage="train", plan=report.plan)

    assert raised.value.exit_code is ExitCode.BAD_CONFIG


def test_weights_that_do_not_fit_the_volume_are_refused_before_their_download(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    os.truncate(tmp_path / "model" / "model.safetensors", 1 << 42)  # a sparse file of 4 TiB

    with pytest.raises(TrainerError, match="take 4194304 MiB, but only") as raised:
        _staged(run)

    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.model.cache"


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")

    with pytest.raises(TrainerError, match="the model cache cannot be written: Not a directory"):
        _staged(place(tmp_path, cache=str(tmp_path / "cache")))


def test_a_stated_revision_stands_for_the_content(tmp_path: Path) -> None:
    run = place(tmp_path, model__revision="5a149550068a1eb93398160d8953f5f56c3603e9")

    assert _staged(run).commit == "5a149550068a1eb93398160d8953f5f56c3603e9"


def test_a_hub_that_is_away_is_unavailable_after_the_budget(tmp_path: Path) -> None:
    run = place(tmp_path, model__source=None, model__allowFloatingRevision=True)
    order = tmp_path / "order.json"
    order.write_text(run.order.model_copy(update={"unavailable_budget_seconds": 1}).model_dump_json(by_alias=True))
    script = textwrap.dedent(f"""
        from pathlib import Path
        from lora_contract.order import Order
        from lora_trainer import errors, model_files, store
        order = Order.model_validate_json(Path({str(order)!r}).read_text())
        try:
            model_files.stage(order, store.from_environment(1), Path({str(tmp_path)!r}))
        except errors.TrainerError as error:
            print(int(error.exit_code), error.param, error.message)
    """)
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}

    answer = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | away, capture_output=True, text=True, check=True, timeout=120
    ).stdout

    assert answer.startswith("69 spec.model.id the Hub did not serve microsoft/Phi-4-mini-instruct for 1 s")


def _other_model(run: Place, name: str) -> Place:
    """The same place with another model, of about the same size."""
    folder = run.folder / name
    shutil.copytree(run.folder / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "note": name}))
    spec = run.order.spec
    model = spec.model.model_copy(update={"source": f"file://{folder}/"})
    return replace(run, order=run.order.model_copy(update={"spec": spec.model_copy(update={"model": model})}))


def _room_for(models: int, run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the volume look as if it held this many models."""
    size = (run.folder / "model" / "model.safetensors").stat().st_size
    real = shutil.disk_usage

    def usage(path: Path) -> Any:
        held = len(list((run.folder / "cache" / "models").glob("*/model.safetensors")))
        return real(path)._replace(free=(models - held) * size)

    monkeypatch.setattr(shutil, "disk_usage", usage)


_STAGE = """
    import sys
    from pathlib import Path
    from lora_contract.order import Order
    from lora_trainer import model_files, store
    order = Order.model_validate_json(Path({order!r}).read_text())
    print(model_files.stage(order, store.from_environment(2), Path({into!r})).path, flush=True)
    sys.stdin.read()
"""


@contextmanager
def _used(run: Place) -> Iterator[Path]:
    """Another process that staged the model and reads it for the time of the block."""
    order = run.folder / f"order-{uuid.uuid4()}.json"
    order.write_text(run.order.model_dump_json(by_alias=True))
    script = textwrap.dedent(_STAGE.format(order=str(order), into=str(run.folder / "into")))
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Path(process.stdout.readline().strip())
        process.stdin.close()


def test_the_model_that_was_unused_for_longest_makes_room_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cache with room for two models, and both places taken
    first = place(tmp_path, cache=str(tmp_path / "cache"))
    second, third = _other_model(first, "second"), _other_model(first, "third")
    paths = []
    for run in (first, second):
        with _used(run) as path:
            paths.append(path)
    # The older of them is used again
    with _used(first):
        pass
    os.utime(paths[1] / ".staged.json", (0, 0))
    _room_for(2, first, monkeypatch)
    # A third model comes
    staged = _staged(third)
    # The one that was unused for longest is gone
    assert staged.path.exists()
    assert paths[0].exists()
    assert not paths[1].exists()


def test_a_model_that_is_in_use_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place(tmp_path, cache=str(tmp_path / "cache"))
    second = _other_model(first, "second")
    with _used(first) as path:
        _room_for(1, first, monkeypatch)
        with pytest.raises(TrainerError, match="but only") as raised:
            _staged(second)
        assert raised.value.param == "spec.model.cache"
        assert (path / "model.safetensors").exists()
    # Once it is free, it makes room
    assert _staged(second).path.exists()
    assert not path.exists()
