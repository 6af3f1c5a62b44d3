"""Commands that change a run: suspend, resume, rerun, check-inputs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lora_cli.commands.options import Context, Name, Namespace, connect
from lora_cli.commands.screen import now, show
from lora_cli.errors import CommandError
from lora_cli.text.run_page import progress_line
from lora_contract.conditions import ConditionType
from lora_contract.status import Phase


def suspend(*, name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Stop a run after a checkpoint and give its GPU back."""
    runs = connect(namespace, context)
    run = runs.get(name)
    if run.status.finished:
        raise CommandError(f"{name} has ended ({run.phase}); there is nothing to suspend.")
    if run.suspended:
        show([f"{name} is suspended already; `kubectl lora resume {name}` lets it go on."])
        return
    runs.patch(name, {"suspend": True})
    show([f"{name} is being suspended; `kubectl lora resume {name}` lets it go on from its checkpoint."])


def resume(*, name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Let a suspended run go on from its checkpoint."""
    runs = connect(namespace, context)
    run = runs.get(name)
    if not run.suspended:
        show([f"{name} is not suspended: {progress_line(run)}."])
        return
    runs.patch(name, {"suspend": False})
    show([f"{name} goes on; `kubectl lora watch {name}` follows it."])


def rerun(
    *,
    name: Name,
    namespace: Namespace = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, also where the run has not ended.")] = False,
    context: Context = None,
) -> None:
    """Run again from the first step.

    The same spec, a new adapter; the one there is stays. It sets spec.runToken. What has not ended is given up for
    it, so that is asked first. To go on from the last checkpoint of a failed run, delete it and apply its file again.
    """
    runs = connect(namespace, context)
    run = runs.get(name)
    under_way = not run.status.finished and run.status.phase not in (None, Phase.FAILED)
    if under_way and not yes:
        question = f"{name} has not ended ({progress_line(run)}). Give that up and begin anew?"
        if not sys.stdin.isatty():
            raise CommandError(f"{question} Say --yes if so.")
        typer.confirm(question, abort=True)
    token = _token()
    runs.patch(name, {"runToken": token})
    show([f"{name} runs again, with runToken {token}; `kubectl lora watch {name}` follows it."])


def check_inputs(*, name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Compare the data with what was trained on.

    It sets spec.checkToken of a finished run; a CPU pod reads the data again.
    """
    runs = connect(namespace, context)
    runs.patch(name, {"checkToken": _token()})
    drifted = ConditionType.INPUTS_DRIFTED
    show(
        [
            f"The data of {name} is read again; the condition {drifted} of `kubectl lora status {name}` will tell.",
        ]
    )


def _token() -> str:
    return now().strftime("%Y%m%dT%H%M%S")


def add_to(app: typer.Typer) -> None:
    """Give the commands their names."""
    app.command("suspend")(suspend)
    app.command("resume")(resume)
    app.command("rerun")(rerun)
    app.command("check-inputs")(check_inputs)
