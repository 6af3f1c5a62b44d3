"""Commands about manifests: validate, create."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from lora_cli.commands.options import Context, Namespace, connect
from lora_cli.commands.screen import show
from lora_cli.errors import CommandError
from lora_cli.manifest_files import Verdict, judge, judge_document
from lora_cli.new_manifest import as_yaml, new_manifest, read_settings
from lora_contract import names
from lora_contract.outside import shorten


def validate(
    *,
    files: Annotated[
        list[Path], typer.Option("--filename", "-f", help="File or folder with manifests; - for standard input.")
    ],
    server: Annotated[bool, typer.Option("--server", help="Ask the cluster too; nothing is written there.")] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Say what the cluster would refuse of files.

    It is not asked for that. With --server it is asked as well, by a dry run: it knows your rights, what it has
    already, and rules of its own.
    """
    verdicts = [verdict for file in files for verdict in judge(file)]
    if server:
        verdicts = list(_asked(verdicts, namespace, context))
    for verdict in verdicts:
        if not verdict.faults:
            show([f"{verdict.where} is valid" + (", also on the cluster" if server else "")])
        show(f"{verdict.where}: {shorten(fault)}" for fault in verdict.faults)
    if any(verdict.faults for verdict in verdicts):
        raise typer.Exit(1)


def _asked(verdicts: Iterable[Verdict], namespace: str | None, context: str | None) -> Iterable[Verdict]:
    from lora_cli.cluster.api import ApiError  # noqa: PLC0415 - as in `connect`

    runs = connect(namespace, context)
    for verdict in verdicts:
        if verdict.document is None:
            yield verdict
            continue
        try:
            runs.apply(verdict.document, dry_run=True)
        except ApiError as error:
            yield Verdict(verdict.file, verdict.about, (f"the cluster refuses it: {error}",))
        else:
            yield verdict


#: What is asked of a user who did not say it: field of the spec, question, answer that may be taken.
_QUESTIONS = (
    ("model.id", "Base model, as on the Hub, such as microsoft/Phi-4-mini-instruct", None),
    ("model.revision", "Its commit there, 40 digits; empty: the newest one", ""),
    ("dataset.uri", "Training data, such as s3://datasets/triage.jsonl", None),
    ("output.uri", "Where adapters go, such as s3://adapters/team-a/", None),
    ("storage.secretName", "Secret with the S3 keys; empty: none", ""),
    ("scheduling.queueName", "LocalQueue of Kueue; empty: none", ""),
)


def create(
    *,
    name: Annotated[str | None, typer.Argument(help="Name of the new LoRAFineTune.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model, such as microsoft/Phi-4-mini-instruct.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit of the model on the Hub.")] = None,
    source: Annotated[str | None, typer.Option(help="Files of the model in S3, instead of the Hub.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Training data, such as s3://datasets/triage.jsonl.")] = None,
    output_uri: Annotated[str | None, typer.Option("--output", help="Prefix for adapters in S3.")] = None,
    secret: Annotated[str | None, typer.Option(help="Secret with the S3 keys.")] = None,
    queue: Annotated[str | None, typer.Option(help="LocalQueue of Kueue.")] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs; 0 trains on the CPU.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows; 3 where --max-steps is not said.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps, instead of --epochs.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the spec: lora.r=32; repeatable.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Create it on the cluster, instead of printing YAML.")] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Write the YAML of a new run, or create it.

    On a terminal, what is needed and was not said is asked for. The YAML goes to standard output: `> finetune.yaml`.
    """
    fields: dict[str, Any] = {
        "model.id": model,
        "model.revision": revision,
        "model.source": source,
        "dataset.uri": dataset,
        "training.maxSteps": max_steps,
        "training.epochs": _plain(epochs),
        "output.uri": output_uri,
        "storage.secretName": secret,
        "compute.gpus": gpus,
        "scheduling.queueName": queue,
    } | read_settings(settings or ())
    name, fields = _completed(name, fields)
    manifest = new_manifest(name, namespace, fields)
    verdict = judge_document("", manifest)
    if verdict.faults:
        raise CommandError("\n".join(("This cannot be run:", *verdict.faults)))
    if apply:
        runs = connect(namespace, context)
        runs.create(manifest)
        show([f"{names.KIND} {runs.namespace}/{name} is created; `kubectl lora watch {name}` follows it."])
    else:
        sys.stdout.write(as_yaml(manifest))


def _completed(name: str | None, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Ask for what is missing, on a terminal, and fill in what follows."""
    asks = sys.stdin.isatty() and (name is None or fields["model.id"] is None or fields["dataset.uri"] is None)
    if asks:
        name = name or typer.prompt("Name of the run", err=True)
        for path, question, default in _QUESTIONS:
            if fields[path] is None and not (path == "model.revision" and fields["model.source"]):
                fields[path] = typer.prompt(question, default=default, show_default=False, err=True) or None
    if name is None:
        raise CommandError("Say the name of the run: kubectl lora create NAME --model ... --dataset ... --output ...")
    if fields["training.maxSteps"] is None and fields["training.epochs"] is None:
        fields["training.epochs"] = 3
    if fields["model.revision"] is None and fields["model.source"] is None and asks:
        fields["model.allowFloatingRevision"] = True
    return name, fields


def _plain(number: float | None) -> float | int | None:
    return int(number) if number is not None and number.is_integer() else number


def add_to(app: typer.Typer) -> None:
    """Give the commands their names."""
    app.command("validate")(validate)
    app.command("create")(create)
