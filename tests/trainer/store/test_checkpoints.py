"""Checkpoints in the store: whole or not there, never tampered with, never overwritten by a fenced process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST, RunLayout
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.checkpoints import Checkpoints, latest
from lora_trainer.ledger.claims import Claim, Fenced, take_claim
from support.fault_proxy import Action, Plan
from support.s3_rig import Rig

FILES = {"optimizer.pt": b"optimizer", "rng_state.pth": b"random", "best/adapter_model.safetensors": b"weights"}


@pytest.fixture
def claim(rig: Rig, layout: RunLayout) -> Claim:
    return take_claim(rig.store, layout, "uid")


@pytest.fixture
def checkpoints(rig: Rig, layout: RunLayout, claim: Claim, tmp_path: Path) -> Iterator[Checkpoints]:
    checkpoints = Checkpoints(rig.store, layout, claim, tmp_path / "scratch")
    yield checkpoints
    checkpoints.close()


def folder_of(step: int, tmp_path: Path) -> Path:
    folder = tmp_path / f"checkpoint-{step}"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content + b" of step %d" % step)
    return folder


def save(checkpoints: Checkpoints, step: int, tmp_path: Path, *, best_step: int | None = None) -> None:
    checkpoints.save(folder_of(step, tmp_path), step, best_step=best_step)
    checkpoints.wait()


def step_found(rig: Rig, layout: RunLayout, into: Path) -> int | None:
    found = latest(rig.store, layout, into, lambda folder: None)
    if found is None:
        return None
    contents = {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    assert contents == {name: content + b" of step %d" % found.manifest.step for name, content in FILES.items()}
    return found.manifest.step


def test_the_newest_checkpoint_comes_back_whole(
    rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    assert step_found(rig, layout, tmp_path / "in") is None
    for step in (10, 20, 30):
        save(checkpoints, step, tmp_path, best_step=10)

    assert step_found(rig, layout, tmp_path / "in") == 30
    manifests = [info.uri for info in rig.store.list(layout.checkpoints) if info.uri.endswith(MANIFEST)]
    assert manifests == [f"{layout.checkpoint(1, step)}/{MANIFEST}" for step in (10, 20, 30)]  # newest two and best


def test_old_checkpoints_go_away_also_those_of_older_claims(
    rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for step in (10, 20):
        save(checkpoints, step, tmp_path)
    checkpoints = Checkpoints(rig.store, layout, take_claim(rig.store, layout, "uid"), tmp_path / "scratch")
    for step in (30, 40):
        save(checkpoints, step, tmp_path)
    checkpoints.close()

    steps = {info.uri.split("/")[-2] for info in rig.store.list(layout.checkpoints) if info.uri.endswith(MANIFEST)}
    assert steps == {"step-00000030", "step-00000040"}
    assert not list(rig.store.list(layout.checkpoint(1, 10)))


def test_the_folder_may_be_deleted_as_soon_as_save_returns(
    rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    folder = folder_of(5, tmp_path)
    checkpoints.save(folder, 5)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    checkpoints.wait()

    assert step_found(rig, layout, tmp_path / "in") == 5
    assert list((tmp_path / "scratch").iterdir()) == []


def tamper(rig: Rig, prefix: str, how: str) -> None:
    manifest = json.loads(rig.store.read(f"{prefix}/{MANIFEST}"))
    if how == "content":
        rig.store.write(f"{prefix}/optimizer.pt", b"0ptimizer of step 20")
    if how == "cut":
        rig.store.write(f"{prefix}/optimizer.pt", b"optim")
    if how == "file gone":
        rig.store.delete(f"{prefix}/optimizer.pt")
    if how == "no manifest":
        rig.store.delete(f"{prefix}/{MANIFEST}")
        return
    if how == "manifest cut":
        rig.store.write(f"{prefix}/{MANIFEST}", json.dumps(manifest).encode()[:-20])
        return
    if how == "other run":
        manifest["runId"] = "f" * 32
    if how == "other step":
        manifest["step"] = 21
    if how == "outside":
        manifest["files"]["../../evil.pt"] = manifest["files"]["optimizer.pt"]
    rig.store.write(f"{prefix}/{MANIFEST}", json.dumps(manifest).encode())


@pytest.mark.parametrize(
    "how",
    ["content", "cut", "file gone", "no manifest", "manifest cut", "other run", "other step", "outside"],
)
def test_a_broken_or_tampered_checkpoint_is_passed_over_for_the_one_before(
    how: str, rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for step in (10, 20):
        save(checkpoints, step, tmp_path)
    tamper(rig, layout.checkpoint(1, 20), how)

    assert step_found(rig, layout, tmp_path / "in") == 10
    assert not (tmp_path / "evil.pt").exists()


def test_work_that_went_back_behind_a_broken_checkpoint_is_not_pruned_for_it(
    rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for step in (10, 30):
        save(checkpoints, step, tmp_path)
    tamper(rig, layout.checkpoint(1, 30), "content")
    assert step_found(rig, layout, tmp_path / "in") == 10
    again = Checkpoints(rig.store, layout, take_claim(rig.store, layout, "uid"), tmp_path / "scratch")

    for step in (15, 20):
        save(again, step, tmp_path)
    again.close()

    assert step_found(rig, layout, tmp_path / "in") == 20


def test_a_fenced_process_saves_nothing_more(
    rig: Rig, layout: RunLayout, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    save(checkpoints, 10, tmp_path)
    take_claim(rig.store, layout, "uid")
    before = list(rig.store.list(layout.checkpoints))

    checkpoints.save(folder_of(20, tmp_path), 20)
    with pytest.raises(Fenced):
        checkpoints.wait()

    assert list(rig.store.list(layout.checkpoints)) == before


def test_an_upload_that_fails_is_heard_of_at_the_next_save(
    rig: Rig, layout: RunLayout, claim: Claim, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(rig.behind_proxy(budget_seconds=0), layout, claim, tmp_path / "scratch")
    rig.proxy.plan = Plan(Action.SLOW_DOWN, count=None)
    checkpoints.save(folder_of(10, tmp_path), 10)

    with pytest.raises(TrainerError) as raised:
        checkpoints.save(folder_of(20, tmp_path), 20)

    assert raised.value.exit_code is ExitCode.UNAVAILABLE
    checkpoints.close()


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER], ids=lambda a: a.name)
def test_an_upload_cut_at_any_request_leaves_a_checkpoint_whole_or_unseen(
    action: Action, rig: Rig, layout: RunLayout, tmp_path: Path
) -> None:
    claim = take_claim(rig.store, layout, "uid")
    save(Checkpoints(rig.store, layout, claim, tmp_path / "scratch"), 1, tmp_path)
    step = 1
    while True:
        step += 1
        rig.proxy.plan = Plan(action, first=step - 1, count=None)
        dying = Checkpoints(rig.behind_proxy(budget_seconds=0), layout, claim, tmp_path / "scratch")
        dying.save(folder_of(step, tmp_path), step)
        if not is_cut(dying):
            break
        found = step_found(rig, layout, tmp_path / "in")
        assert found is not None  # some earlier one, or this one where the cut came after its manifest

    assert step > len(FILES) + len(["old manifest", "manifest", "pruning"])
    assert step_found(rig, layout, tmp_path / "in") == step


def is_cut(dying: Checkpoints) -> bool:
    try:
        dying.close()
    except TrainerError:
        return True
    return False
