"""What lies in the images that the demo runs, layer by layer."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from support.e2e import Rig

#: Where a package manager would lie, whatever folder of programs it is in.
MANAGERS = {"apt", "apt-get", "dpkg", "pip", "pip3", "uv"}


def files(archive: Path) -> Iterator[tarfile.TarInfo]:
    """Every file of the layers in an archive."""
    with tarfile.open(archive) as outer:
        for member in outer:
            content = outer.extractfile(member) if member.isfile() else None
            if content is None or member.name.endswith(".json"):
                continue
            try:
                with tarfile.open(fileobj=content, mode="r|") as layer:
                    yield from (entry for entry in layer if entry.isfile())
            except tarfile.ReadError:
                continue  # not a layer


def test_no_file_of_an_image_is_setuid(rig: Rig) -> None:
    archives = {
        path for image in (rig.platform.images.operator, rig.platform.images.prepare) for path in image.archives
    }
    found = [f"{path.name}: {each.name}" for path in archives for each in files(path) if each.mode & 0o6000]
    assert found == []


def test_the_operators_image_has_no_package_manager(rig: Rig) -> None:
    for archive in rig.platform.images.operator.archives:
        names = [each.name for each in files(archive)]
        assert names
        assert not [name for name in names if Path(name).parent.name in ("bin", "sbin") and Path(name).name in MANAGERS]
        assert not [name for name in names if "-packages/pip/" in name or "/ensurepip/" in name]
