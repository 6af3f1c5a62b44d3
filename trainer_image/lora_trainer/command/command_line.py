"""The command line of the image: `prepare`, `train` and `run`."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from lora_contract.names import ENV_ORDER, STAGE_CHECK, STAGE_PREPARE
from lora_trainer import environment
from lora_trainer.command.stage import run_stage
from lora_trainer.processes.rank import place_of

_DESCRIPTION = (
    "Train a LoRA adapter: `run` on this machine; `prepare` and `train` are the two steps in pods of the operator."
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if place_of().leads_pod else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )
    for noisy in ("httpx", "botocore", "urllib3", "bitsandbytes"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # Advice to the authors of libraries, not to our users.
    warnings.filterwarnings("ignore", category=FutureWarning)
    environment.prepare_environment()
    if options.command == "run":
        from lora_trainer.command.local import run_file  # noqa: PLC0415 - not needed in a pod

        return run_file(options.file)
    return run_stage(STAGE_CHECK if options.command == STAGE_PREPARE and options.check else options.command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lora-trainer", description=_DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help=f"check, tokenise and plan, as the order in {ENV_ORDER} says")
    prepare.add_argument("--check", action="store_true", help="only compare the data with what was trained on")
    commands.add_parser("train", help=f"train and publish, as the order in {ENV_ORDER} says")
    local = commands.add_parser("run", help="prepare and train on this machine")
    local.add_argument("file", type=Path, help="a LoRAFineTune as YAML; file:// and s3:// addresses")
    return parser
