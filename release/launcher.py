#!/usr/bin/env python3
"""Start `kubectl lora` from the folder that this file lies in, with the Python that the user has."""

import os
import sys


def main() -> None:
    """Put the packages beside this file on the path and run the program."""
    home = os.path.dirname(os.path.realpath(__file__))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    compiled = os.path.join(home, f"lib-{version}")
    if not os.path.isdir(compiled):
        known = ", ".join(sorted(name[4:] for name in os.listdir(home) if name.startswith("lib-")))
        sys.exit(f"error: kubectl lora was packed for Python {known}; python3 on your PATH is {version}.")
    sys.path[:0] = [compiled, os.path.join(home, "lib")]
    from lora_cli.__main__ import main as run  # noqa: PLC0415 - it is found only now

    run()


main()
