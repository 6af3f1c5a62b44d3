"""Entry point of the image: `lora-trainer prepare`, `lora-trainer train`, `lora-trainer run finetune.yaml`."""

from __future__ import annotations

import os
import sys

from lora_trainer import stopping
from lora_trainer.processes import ENV_FOLDER


def main() -> None:
    """Run a command; the process ends with the exit code of `lora_contract.exit_codes`."""
    # First of all: process 1 of a container ignores SIGTERM until there is a handler, and imports take seconds.
    stopping.install()
    try:
        from lora_trainer.command.command_line import run  # noqa: PLC0415 - after the handler

        code = run(sys.argv[1:])
    except stopping.StopRequested:
        code = 75
    if os.environ.get(ENV_FOLDER):
        # One of several processes: a collective that will never end would keep the interpreter from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
