"""Publication: readers see nothing or everything, the first publisher wins, nothing is left over."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lora_contract.layout import MANIFEST, RunLayout
from lora_contract.status import ArtifactStatus, MetricsStatus
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import Fenced, take_claim
from lora_trainer.publish import Manifest, Provenance, find_published, publish
from lora_trainer.store.s3 import S3Store
from support.fault_proxy import Action, Plan
from support.s3_rig import PART, Rig


def provenance(layout: RunLayout) -> Provenance:
    return Provenance(
        run_id=layout.run_id,
        spec_hash="a" * 64,
        base_model="org/base",
        model_commit="b" * 40,
        dataset_digest="c" * 64,
        required_max_lora_rank=16,
        metrics=MetricsStatus(eval_loss="1.25"),
        created_at="2025-01-01T00:00:00Z",
    )


def adapter(folder: Path, *, variant: bytes = b"", large: bool = False) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights " + variant + (b"x" * (PART + 10) if large else b""))
    (folder / "report.html").write_text("<html></html>")
    return folder


def check_whole(rig: Rig, artifact: ArtifactStatus, folder: Path) -> None:
    manifest = Manifest.model_validate_json(rig.store.read(f"{artifact.uri}/{MANIFEST}"))
    assert {name: file.sha256 for name, file in manifest.files.items()} == {
        path.name: sha256_of(path) for path in folder.iterdir()
    }
    for path in folder.iterdir():
        assert rig.store.read(f"{artifact.uri}/{path.name}") == path.read_bytes()


def test_an_adapter_is_published_found_and_its_work_removed(rig: Rig, layout: RunLayout, tmp_path: Path) -> None:
    claim = take_claim(rig.store, layout, "uid")
    folder = adapter(tmp_path / "adapter")
    assert find_published(rig.store, layout) is None

    artifact = publish(rig.store, layout, "triage", folder, provenance(layout), still_ours=claim.check)

    assert artifact.uri == layout.published("triage")
    assert artifact.report_uri == f"{artifact.uri}/report.html"
    assert artifact.base_model == "org/base"
    assert find_published(rig.store, layout) == artifact
    check_whole(rig, artifact, folder)
    assert list(rig.store.list(layout.work)) == []


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "state.pkl", "run.py", "deep/config.json"])
def test_what_can_carry_code_is_not_published(name: str, rig: Rig, layout: RunLayout, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")

    with pytest.raises(TrainerError, match="must not be published"):
        publish(rig.store, layout, "triage", folder, provenance(layout))

    assert list(rig.store.list(layout.output)) == []


def test_one_of_several_publishers_wins_and_all_return_its_adapter(rig: Rig, layout: RunLayout, tmp_path: Path) -> None:
    names = ["triage", "other", "third"]
    folders = [adapter(tmp_path / name, variant=name.encode()) for name in names]

    def one(index: int) -> ArtifactStatus:
        return publish(rig.store, layout, names[index], folders[index], provenance(layout))

    with ThreadPoolExecutor(3) as pool:
        artifacts = list(pool.map(one, range(3)))

    assert artifacts[0] == artifacts[1] == artifacts[2] == find_published(rig.store, layout)
    check_whole(rig, artifacts[0], folders[names.index(artifacts[0].uri.split("/")[-2])])


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER], ids=lambda a: a.name)
def test_a_publication_cut_at_any_request_shows_nothing_or_everything_and_is_completed_by_the_next(
    action: Action, rig: Rig, layout: RunLayout, tmp_path: Path
) -> None:
    dead, alive = adapter(tmp_path / "dead", variant=b"dead", large=True), adapter(tmp_path / "alive", large=True)
    requests_until_done = 0
    while True:
        requests_until_done += 1
        run = RunLayout(layout.output, f"{requests_until_done:032x}")
        rig.store.write(f"{run.prepared}/plan.json", b"{}")
        rig.proxy.plan = Plan(action, first=requests_until_done, count=None)
        cut = publish_or_die(rig.behind_proxy(budget_seconds=0), run, dead)
        seen = find_published(rig.store, run)
        if seen is not None:
            check_whole(rig, seen, dead)
        if not cut:
            break

        artifact = publish(rig.store, run, "triage", alive, provenance(run))

        assert seen in (None, artifact)
        check_whole(rig, artifact, dead if carries(rig, artifact, dead) else alive)
        assert list(rig.store.list(run.work)) == []
        assert rig.unfinished_uploads() == []
    assert requests_until_done > 8  # two small files, creation, two parts, completion, manifest, pointer, removal


def carries(rig: Rig, artifact: ArtifactStatus, folder: Path) -> bool:
    manifest = Manifest.model_validate_json(rig.store.read(f"{artifact.uri}/{MANIFEST}"))
    weights = "adapter_model.safetensors"
    return manifest.files[weights].sha256 == sha256_of(folder / weights)


def publish_or_die(store: S3Store, layout: RunLayout, folder: Path) -> bool:
    try:
        publish(store, layout, "triage", folder, provenance(layout))
    except TrainerError:
        return True
    return False


def test_a_process_that_comes_back_after_the_publication_changes_nothing(
    rig: Rig, layout: RunLayout, tmp_path: Path
) -> None:
    zombie_folder, folder = adapter(tmp_path / "zombie", variant=b"old"), adapter(tmp_path / "new")
    zombie = take_claim(rig.store, layout, "uid")
    published: list[ArtifactStatus] = []

    def asleep_while_another_publishes() -> None:
        """The zombie looked at its claim and is then cut off; it wakes between this check and its write."""
        zombie.check()
        if not published:
            claim = take_claim(rig.store, layout, "uid")
            published.append(publish(rig.store, layout, "triage", folder, provenance(layout), still_ours=claim.check))

    artifact = publish(
        rig.store, layout, "triage", zombie_folder, provenance(layout), still_ours=asleep_while_another_publishes
    )

    assert artifact == published[0]
    check_whole(rig, artifact, folder)


def test_a_fenced_process_publishes_nothing(rig: Rig, layout: RunLayout, tmp_path: Path) -> None:
    zombie = take_claim(rig.store, layout, "uid")
    take_claim(rig.store, layout, "uid")

    with pytest.raises(Fenced):
        publish(rig.store, layout, "triage", adapter(tmp_path / "a"), provenance(layout), still_ours=zombie.check)

    assert list(rig.store.list(layout.published("triage"))) == []


@pytest.mark.parametrize("damage", ["file gone", "file changed", "manifest gone", "pointer is nonsense"])
def test_a_damaged_adapter_is_not_found_and_can_be_published_again(
    damage: str, rig: Rig, layout: RunLayout, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "adapter")
    artifact = publish(rig.store, layout, "triage", folder, provenance(layout))
    weights = f"{artifact.uri}/adapter_model.safetensors"
    if damage == "file gone":
        rig.store.delete(weights)
    if damage == "file changed":
        rig.store.write(weights, b"w" * (folder / "adapter_model.safetensors").stat().st_size)
    if damage == "manifest gone":
        rig.store.delete(f"{artifact.uri}/{MANIFEST}")
    if damage == "pointer is nonsense":
        rig.store.write(layout.pointer, b"{")
    assert find_published(rig.store, layout) is None

    again = publish(rig.store, layout, "triage", folder, provenance(layout))

    assert find_published(rig.store, layout) == again
    check_whole(rig, again, folder)


def test_a_pointer_to_somewhere_else_is_not_followed(rig: Rig, layout: RunLayout) -> None:
    rig.store.write(layout.pointer, json.dumps({"manifest": "s3://elsewhere/x/manifest.json", "sha256": ""}).encode())

    assert find_published(rig.store, layout) is None
