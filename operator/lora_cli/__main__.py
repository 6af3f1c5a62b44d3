"""`kubectl lora`: see and steer fine-tuning runs."""

from __future__ import annotations

import os
import sys

import typer

from lora_cli.clean import clean
from lora_cli.commands import completion, explain, lineage, logs, look, manifests, results, steer, trials
from lora_cli.commands.screen import show
from lora_cli.errors import CommandError

app = typer.Typer(
    name="kubectl lora",
    help="See and steer LoRA fine-tuning runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (look, logs, explain, steer, manifests, results, lineage, trials, completion):
    group.add_to(app)


def main() -> None:
    """Run the command line; errors in words, exit code 1."""
    completion.register_shells()
    try:
        app(prog_name="kubectl lora", complete_var=completion.VARIABLE)
    except CommandError as error:
        show([f"error: {clean(str(error))}"], error=True)
        sys.exit(1)
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def complete() -> None:
    """Answer kubectl, which runs `kubectl_complete-lora WORDS...` to complete the last word."""
    completion.answer_kubectl(app, sys.argv[1:])


if __name__ == "__main__":
    main()
