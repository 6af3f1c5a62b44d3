"""The project's images as archives for a node without a registry."""

from __future__ import annotations

import hashlib
import re
import tempfile
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
_DEPENDENCIES = "opt/venv"


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
    runtime = _ensure_runtime(base)
    for dockerfile in ("operator", "trainer"):
        _build(_code_image(dockerfile), dockerfile, "code", base)
    return Images(
        operator=_image("operator", "operator", base, runtime),
        prepare=_image("trainer", "prepare", base, runtime),
        trainer=_image("trainer", "trainer", base, runtime),
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

    base = _ensure_base()
    for dockerfile, target in (("operator", "operator"), ("trainer", "prepare"), ("trainer", "trainer")):
        say(f"image of the {target}, as a registry takes it")
        _build(_name(target, "latest"), dockerfile, target, base)
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


def _ensure_runtime(base: str) -> Path:
    """Return the archive of the base without package managers and setuid files, made when the store has none.

    The stages that make it are the same in each Dockerfile.
    """
    parts = (REPOSITORY / "images" / "strip-root.sh", _dockerfile("operator"))
    key = _hash(base, *(part.read_text() for part in parts))
    archive = _folder() / f"runtime-{key}.tar"
    if not archive.exists():
        for old in _folder().glob("runtime-*.tar"):
            old.unlink()
        image = _name("runtime", "latest")
        _build(image, "operator", "runtime", base)
        buildah.save(image, archive)
    return archive


def _image(dockerfile: str, target: str, base: str, below: Path) -> Image:
    """Return an image as archives: runtime, dependencies, and our own code, each one layer.

    Args:
        below: the archive of the runtime.
    """
    dependencies = _dependencies(dockerfile, target, base, below)
    archive = _folder() / f"{target}.tar"
    with buildah.mounted(_code_image(dockerfile)) as root:
        layers = archives.layers_of(dependencies)
        code = archives.Folder(root / _CODE, _CODE)
        name = _name(target, _hash(*layers, archives.digest(code)))
        configuration = archives.configuration_of(dependencies)
        archives.write_on_top(archive, name=name, configuration=configuration, below=layers, folder=code)
    return Image(name, (below, dependencies, archive))


def _dependencies(dockerfile: str, target: str, base: str, below: Path) -> Path:
    """Return the archive of an image with dependencies, made when base, requirements or Dockerfile changed.

    Args:
        below: the archive of the runtime.
    """
    text = _dockerfile(dockerfile).read_text()
    requirements = sorted(set(re.findall(r"requirements/\w+\.txt", text)))
    key = _hash(below.name, text, *((REPOSITORY / name).read_text() for name in requirements))
    archive = _folder() / f"{target}-dependencies-{key}.tar"
    if archive.exists():
        return archive
    say(f"image of the {target}: dependencies (once)")
    _folder().mkdir(parents=True, exist_ok=True)
    for old in _folder().glob(f"{target}-dependencies-*.tar"):
        old.unlink()
    buildah.prune()
    with tempfile.TemporaryDirectory(prefix=f"{target}-", dir=_folder()) as folder:
        Path(folder).chmod(0o755)  # mkdtemp keeps others out; a pod's user is one of them
        # They are installed into a folder of this machine, so buildah has nothing of size to commit.
        image = _name(f"{target}-without-dependencies", "latest")
        volume = (Path(folder), f"/{_DEPENDENCIES}")
        _build(image, dockerfile, f"{target}-dependencies", base, volume)
        archives.write_on_top(
            archive,
            name=_name(f"{target}-dependencies", "latest"),
            configuration=buildah.inspect(image),
            below=archives.layers_of(below),
            folder=archives.Folder(Path(folder), _DEPENDENCIES, with_times=True),
        )
    return archive


def _code_image(dockerfile: str) -> str:
    return _name(f"{dockerfile}-code", "latest")


def _build(image: str, dockerfile: str, target: str, base: str, volume: tuple[Path, str] | None = None) -> None:
    """Build a target of one of our Dockerfiles; takes about a second where nothing changed. `volume`: as buildah's."""
    buildah.build(
        image,
        dockerfile=_dockerfile(dockerfile),
        context=REPOSITORY,
        target=target,
        arguments={"BASE_IMAGE": base},
        volume=volume,
    )


def _dockerfile(name: str) -> Path:
    return REPOSITORY / f"Dockerfile.{name}"


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
