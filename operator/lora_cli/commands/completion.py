"""Completion in shells: the command that prints the script, and what kubectl asks for words."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

# Typer calls it itself only where it adds options of its own, which know no plugins of kubectl.
from typer.completion import completion_init  # type: ignore[attr-defined]

_PROGRAM = "kubectl-lora"
#: By which a shell asks for words.
VARIABLE = "_KUBECTL_LORA_COMPLETE"
#: Of the directives with which plugins answer kubectl: offer no names of files beside these words.
_NO_FILES = ":4"


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(ctx: typer.Context, shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a script for completion in a shell.

    bash: source <(kubectl lora completion bash); zsh likewise, after compinit; fish: kubectl lora completion fish |
    source. For `kubectl lora` with kubectl's own completion nothing is needed: it asks kubectl_complete-lora.
    """
    sys.stdout.write(_ask(ctx.find_root().command.main, f"source_{shell}"))


def answer_kubectl(app: Callable[..., Any], words: Sequence[str]) -> None:
    """Print how the last of the words may go on, as kubectl wants to be told."""
    every = [_PROGRAM, *words]
    os.environ.update({"COMP_WORDS": " ".join(every), "COMP_CWORD": str(len(every) - 1)})
    sys.stdout.write(_ask(app, "complete_bash") + _NO_FILES + "\n")


def register_shells() -> None:
    """Let the app answer shells that ask it for words."""
    completion_init()


def _ask(app: Callable[..., Any], instruction: str) -> str:
    """Ask Typer, which reads from the environment what it is asked."""
    register_shells()
    os.environ[VARIABLE] = instruction
    answer = io.StringIO()
    try:
        with contextlib.redirect_stdout(answer), contextlib.suppress(SystemExit):
            app(args=[], prog_name=_PROGRAM, complete_var=VARIABLE)
    finally:
        del os.environ[VARIABLE]
    text = answer.getvalue().strip("\n")
    return f"{text}\n" if text else ""


def add_to(app: typer.Typer) -> None:
    """Give the command its name."""
    app.command("completion")(completion)
