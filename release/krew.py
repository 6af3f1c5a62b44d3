"""The plugin for Krew, the package manager of kubectl: `python -m release.krew --url URL` makes archives and manifest.

Krew takes https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest; an archive holds the plugin and everything
that it needs but Python itself, so nothing is fetched when it is installed or called.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lora_contract.version import __version__
from release.plugin_archive import PROGRAM, pack, sha256_of

NAME = "lora"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Platform:
    """A system as Krew names it, and as uv does."""

    os: str
    arch: str
    target: str

    @property
    def archive(self) -> str:
        """Name of the archive."""
        return f"{PROGRAM}_v{__version__}_{self.os}_{self.arch}.tar.gz"


PLATFORMS = (
    Platform("linux", "amd64", "x86_64-manylinux_2_28"),
    Platform("linux", "arm64", "aarch64-manylinux_2_28"),
    Platform("darwin", "amd64", "x86_64-apple-darwin"),
    Platform("darwin", "arm64", "aarch64-apple-darwin"),
)


def manifest(url: str, digests: Mapping[Platform, str]) -> dict[str, Any]:
    """Write the plugin's manifest. `url`: the folder that the archives are downloaded from; `digests`: their sha256."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{__version__}",
            "homepage": url,
            "shortDescription": "See and steer LoRA fine-tuning runs",
            "description": "See, steer, compare and explain the fine-tuning runs of lora-operator, and fetch their\n"
            "adapters and reports. It works with the rights of your kubeconfig and your own credentials of S3.\n",
            "caveats": f"It needs python3 on the PATH: Python {PYTHONS[0]} to {PYTHONS[-1]}; on Linux with glibc.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": platform.os, "arch": platform.arch}},
                    "uri": f"{url.rstrip('/')}/{platform.archive}",
                    "sha256": digest,
                    "bin": PROGRAM,
                }
                for platform, digest in digests.items()
            ],
        },
    }


def make(url: str, folder: Path) -> Path:
    """Make the archives of all platforms and the manifest in a folder, and return where the manifest is.

    Raises:
        subprocess.CalledProcessError: the wheel cannot be built, or a package is not there for a platform.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests: dict[Platform, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", scratch], cwd=_ROOT, check=True
        )
        wheel = next(Path(scratch).glob("*.whl"))
        for platform in PLATFORMS:
            trees = {python: Path(scratch, platform.os, platform.arch, python) for python in PYTHONS}
            for python, tree in trees.items():
                _install(wheel, tree, platform, python)
            archive = pack(trees, _ROOT / "LICENSE")
            (folder / platform.archive).write_bytes(archive)
            digests[platform] = sha256_of(archive)
    path = folder / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(manifest(url, digests), sort_keys=False), encoding="utf-8")
    return path


def _install(wheel: Path, tree: Path, platform: Platform, python: str) -> None:
    """Install the plugin and what it needs, by their digests, as for a platform and a version of Python."""
    uv = Path(sys.executable).with_name("uv")
    target = ["--target", str(tree), "--python-platform", platform.target, "--python-version", python, "--no-build"]
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", *target]
    environment = os.environ | {"UV_LINK_MODE": "copy"}
    requirements = str(_ROOT / "requirements" / "plugin.txt")
    subprocess.run([*command, "--require-hashes", "-r", requirements], env=environment, check=True)
    subprocess.run([*command, str(wheel)], env=environment, check=True)


def main() -> None:
    """Make all of it in dist/krew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="folder that the archives will be downloaded from")
    parser.add_argument("--folder", type=Path, default=_ROOT / "dist" / "krew", help="where they are written")
    given = parser.parse_args()
    print(make(given.url, given.folder))


if __name__ == "__main__":
    main()
