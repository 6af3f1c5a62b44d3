"""A LoRAFineTune made of answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from lora_cli.errors import CommandError
from lora_contract import names
from lora_contract.yaml_documents import DocumentError, read_documents


def new_manifest(name: str, namespace: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make a manifest. `fields`: values by the path of their field below spec, such as lora.r; None: not set."""
    spec: dict[str, Any] = {}
    for path, value in fields.items():
        if value is not None:
            _put(spec, path, value)
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read `path=value`, the value as in YAML.

    Raises:
        CommandError: one has another form.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not all(path.split(".")):
            raise CommandError(f"--set {setting}: write FIELD=VALUE, such as training.learningRate=0.0001")
        try:
            values = read_documents(text)
        except DocumentError as error:
            raise CommandError(f"--set {setting}: the value {error}") from None
        found[path.removeprefix("spec.")] = values[0] if values else ""
    return found


def as_yaml(manifest: Mapping[str, Any]) -> str:
    """Write a manifest for a file."""
    text: str = yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True, width=120)
    return text


def _put(spec: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    part = spec
    for name in parents:
        part = part.setdefault(name, {})
        if not isinstance(part, dict):
            raise CommandError(f"--set {path}: {name} has a value already, so nothing can stand below it")
    part[last] = value
