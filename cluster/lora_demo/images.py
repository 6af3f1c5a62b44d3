"""The project's images as archives for a node without a registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lora_cluster import packages
from lora_cluster.commands import run
from lora_cluster.images import write_program_image
from lora_cluster.layout import cache_root
from lora_cluster.progress import say
from lora_demo import archives, buildah, seaweedfs
from lora_demo.repository import REPOSITORY

_SUITE = "trixie"
#: A Debian with Python stands in for the python base image of a registry.
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_CODE = "opt/lora"


@dataclass(frozen=True)
class Image:
    """A built image: its name with tag, and the archives to load for it, in this order."""

    name: str
    archives: tuple[Path, ...]


@dataclass(frozen=True)
class Images:
    """Everything the demo runs."""

    operator: Image
    prepare: Image
    trainer: Image
    seaweedfs: Image

    @property
    def archives(self) -> list[Path]:
        """All archives, each once, dependencies before what lies on top of them."""
        every = [
            path for image in (self.operator, self.prepare, self.trainer, self.seaweedfs) for path in image.archives
        ]
        return list(dict.fromkeys(every))


def ensure(weed: Path) -> Images:
    """Build what changed and return all images.

    Args:
        weed: the static SeaweedFS program.
    """
    packages.ensure()
    base = _ensure_base()
    operator = _dependencies("operator", "operator", base)
    trainer = _dependencies("trainer", "trainer", base)
    return Images(
        operator=_on_top("operator", "operator", base, operator),
        # The trainer's dependencies lie on those of prepare: its archive holds the layers of both.
        prepare=_on_top("trainer", "prepare", base, trainer),
        trainer=_on_top("trainer", "trainer", base, trainer),
        seaweedfs=_seaweedfs(weed),
    )


def push(images: Images, registry: str) -> Images:
    """Push the images to a registry and return them under the names that they have there."""
    buildah.load(images.seaweedfs.archives[0])

    def pushed(image: Image, stored: str) -> Image:
        target, _, tag = image.name.rpartition("/")[2].partition(":")
        there = f"{registry.rstrip('/')}/lora-{target}:{tag}"
        say(f"pushing {there}")
        buildah.push(stored, there)
        return Image(there, ())

    return Images(
        operator=pushed(images.operator, _name("operator", "latest")),
        prepare=pushed(images.prepare, _name("prepare", "latest")),
        trainer=pushed(images.trainer, _name("trainer", "latest")),
        seaweedfs=pushed(images.seaweedfs, images.seaweedfs.name),
    )


def _ensure_base() -> str:
    """Return the name of the base image, made from Debian packages when the store has none."""
    dockerfile = "FROM scratch\nADD base.tar /\n"
    image = _name("base", _hash(_SUITE, _BASE_PACKAGES, dockerfile))
    if buildah.exists(image):
        return image
    say(f"making a base image of Debian {_SUITE} with Python")
    folder = cache_root() / "buildah" / "base"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    tar = folder / "base.tar"
    run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_BASE_PACKAGES}", _SUITE, tar])
    buildah.build(image, dockerfile=folder / "Dockerfile", context=folder)
    tar.unlink()
    return image


def _dependencies(dockerfile: str, target: str, base: str) -> Path:
    """Return the archive of a dependency image, built and written when requirements or Dockerfile changed."""
    say(f"image of the {target}: dependencies")
    image = _build(dockerfile, f"{target}-dependencies", base)
    archive = _folder() / f"{target}-dependencies-{buildah.image_id(image)[:12]}.tar"
    if not archive.exists():
        for old in _folder().glob(f"{target}-dependencies-*.tar"):
            old.unlink()
        buildah.prune()  # the dependencies before these take gigabytes
        say(f"writing the dependencies of {target} (once)")
        buildah.save(image, archive)
    return archive


def _on_top(dockerfile: str, target: str, base: str, dependencies: Path) -> Image:
    """Return an image with our own code on top of its dependencies."""
    below = buildah.inspect(_build(dockerfile, f"{target}-dependencies", base))
    with buildah.mounted(_build(dockerfile, target, base)) as root:
        layer = archives.folder_layer(root, _CODE)
    name = _name(target, _hash(*below["rootfs"]["diff_ids"], hashlib.sha256(layer).hexdigest()))
    archive = _folder() / f"{target}.tar"
    archives.write_on_top(archive, name=name, base=below, base_sizes=archives.layer_sizes(dependencies), layer=layer)
    return Image(name, (dependencies, archive))


def _build(dockerfile: str, target: str, base: str) -> str:
    """Build a target of one of our Dockerfiles; takes about a second where nothing changed."""
    image = _name(target, "latest")
    path = REPOSITORY / f"Dockerfile.{dockerfile}"
    buildah.build(image, dockerfile=path, context=REPOSITORY, target=target, arguments={"BASE_IMAGE": base})
    return image


def _seaweedfs(weed: Path) -> Image:
    name = _name("seaweedfs", _hash(seaweedfs.PROGRAM, str(weed.stat().st_size), str(weed.stat().st_mtime_ns)))
    archive = _folder() / f"seaweedfs-{name.rpartition(':')[2]}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        half = archive.with_name(f".{archive.name}")
        write_program_image(half, tag=name, program=weed, entrypoint=seaweedfs.PROGRAM)
        half.rename(archive)
    return Image(name, (archive,))


def _folder() -> Path:
    return cache_root() / "images"


def _name(target: str, tag: str) -> str:
    return f"localhost/lora-operator/{target}:{tag}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
