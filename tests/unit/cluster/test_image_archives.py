"""What is read from image archives, and the archives the tool writes itself."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from lora_cluster.errors import ClusterError
from lora_cluster.images import container_runtime_name, read_archive, write_program_image


def _tar(path: Path, files: dict[str, object]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, value in files.items():
            content = json.dumps(value).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_two_images_of_one_program_have_the_same_digest_and_name(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    archives = [tmp_path / "one.tar", tmp_path / "two.tar"]

    for archive in archives:
        write_program_image(archive, tag="local/program:1", program=program, entrypoint="/program")

    first, second = map(read_archive, archives)
    assert first.digest == second.digest
    assert first.names == second.names == ("local/program:1",)


def test_digest_and_full_name_of_an_oci_archive_are_read(tmp_path: Path) -> None:
    annotations = {"org.opencontainers.image.ref.name": "localhost/trainer:dev"}
    index = {"manifests": [{"digest": "sha256:abc", "annotations": annotations}]}

    archive = read_archive(_tar(tmp_path / "image.tar", {"oci-layout": {}, "index.json": index}))

    assert (archive.digest, archive.names) == ("sha256:abc", ("localhost/trainer:dev",))


def test_an_oci_archive_with_a_bare_tag_is_refused_with_how_to_name_it(tmp_path: Path) -> None:
    annotations = {"org.opencontainers.image.ref.name": "latest"}
    index = {"manifests": [{"digest": "sha256:abc", "annotations": annotations}]}

    with pytest.raises(ClusterError, match="buildah push"):
        read_archive(_tar(tmp_path / "image.tar", {"index.json": index}))


def test_an_archive_of_several_images_is_refused(tmp_path: Path) -> None:
    manifest = [{"Config": "a.json", "RepoTags": ["a:1"]}, {"Config": "b.json", "RepoTags": ["b:1"]}]

    with pytest.raises(ClusterError, match="holds 2 images"):
        read_archive(_tar(tmp_path / "image.tar", {"manifest.json": manifest}))


def test_a_file_that_is_no_archive_is_named_in_the_message(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no tar")

    with pytest.raises(ClusterError, match=r"text: not a tar file"):
        read_archive(text)
    with pytest.raises(ClusterError, match=r"absent: no such image archive"):
        read_archive(tmp_path / "absent")
    with pytest.raises(ClusterError, match=r"neither a docker-archive"):
        read_archive(_tar(tmp_path / "other.tar", {"other.json": {}}))


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("local/pause:1", "docker.io/local/pause:1"),
        ("localhost/trainer:dev", "localhost/trainer:dev"),
        ("registry.example:5000/a/b", "registry.example:5000/a/b:latest"),
        ("quay.io/a/b@sha256:0", "quay.io/a/b@sha256:0"),
    ],
)
def test_a_name_as_people_write_it_is_completed(short: str, full: str) -> None:
    assert container_runtime_name(short) == full
