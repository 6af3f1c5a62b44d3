"""The wheel has the plugin, which needs little beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
#: Of a run by name alone; anything else that is heavy must not be loaded either.
_HEAVY = ("torch", "transformers", "datasets", "pyarrow", "kopf", "boto3", "kubernetes", "jinja2")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make wheel` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={folder}"]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's packages."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, *words: str) -> str:
    """Run Python with the wheel's packages before those of the checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=installed, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_plugin_runs_from_the_wheel(installed: Path) -> None:
    place = run(installed, "-c", "import lora_cli; print(lora_cli.__file__)")
    assert place.startswith(str(installed))
    assert "explain-failure" in run(installed, "-m", "lora_cli", "--help")


def test_a_command_that_asks_no_cluster_loads_nothing_heavy(installed: Path) -> None:
    program = f"import sys, lora_cli.__main__; print([name for name in {_HEAVY} if name in sys.modules])"
    assert run(installed, "-c", program) == "[]\n"


def test_the_programs_that_kubectl_looks_for_are_installed(installed: Path) -> None:
    scripts = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "kubectl-lora = lora_cli.__main__:main" in scripts
    assert "kubectl_complete-lora = lora_cli.__main__:complete" in scripts


def test_a_fresh_environment_takes_the_wheel_as_pipx_does(wheel: Path, tmp_path: Path) -> None:
    fresh, uv = tmp_path / "fresh", Path(sys.executable).with_name("uv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    constraint = str(_ROOT / "requirements" / "plugin.txt")
    command = [str(uv), "pip", "install", "--quiet", "--no-build", "--python", str(fresh), "--constraint", constraint]
    subprocess.run([*command, f"{wheel}[cli,s3]"], env=environment, check=True)

    help_of = [fresh / "bin" / "kubectl-lora", "validate", "--help"]
    said = subprocess.run(help_of, env=environment, check=True, capture_output=True, text=True)
    torch = [fresh / "bin" / "python", "-c", "import torch"]
    heavy = subprocess.run(torch, env=environment, check=False, capture_output=True)

    assert "Usage: kubectl lora validate" in said.stdout
    assert b"No module named 'torch'" in heavy.stderr
    assert (fresh / "bin" / "kubectl_complete-lora").exists()


def test_the_extra_of_the_plugin_is_light(installed: Path) -> None:
    metadata = message_from_string(next(installed.glob("*.dist-info/METADATA")).read_text())
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra" not in line or "'cli'" in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in needed) == [
        "jinja2",
        "kubernetes",
        "pydantic",
        "pyyaml",
        "rich",
        "typer",
    ]
