"""The LoRAFineTunes of a cluster, their Events, pods and logs."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from lora_cli.clean import clean, cleaned
from lora_cli.cluster.api import TIMEOUT, Api, ApiError
from lora_cli.errors import CommandError
from lora_cli.event import Event, read_events
from lora_cli.run import Run, read_run
from lora_cli.sweep import Sweep, read_sweep
from lora_contract import names
from lora_contract.crd.resources import RESOURCES
from lora_contract.times import parse_time

#: Seconds without a word after which a log that is followed is asked for anew.
_SILENCE = 300.0
_PLURALS = {resource.kind: resource.plural for resource in RESOURCES}
_GROUP = f"/apis/{names.GROUP}/{names.VERSION}"


@dataclass(frozen=True)
class Pod:
    """A pod of a run."""

    name: str
    stage: str
    created: datetime | None
    node: str
    started: bool
    ended: bool


class Runs:
    """The runs of one namespace; of all with `read_all(everywhere=True)`."""

    def __init__(self, api: Api, namespace: str | None = None) -> None:
        self._api = api
        self.namespace = namespace or api.namespace

    def get(self, name: str) -> Run:
        """Read one.

        Raises:
            CommandError: there is none of this name, or the API server does not say.
        """
        try:
            return read_run(self._api.get(self._path(name)))
        except ApiError as error:
            raise self._not_found(name, error) from None

    def sweep(self, name: str) -> Sweep:
        """Read a LoRASweep of the namespace.

        Raises:
            CommandError: there is none of this name, or the API server does not say.
        """
        path = f"{_GROUP}/namespaces/{quote(self.namespace, '')}/{names.SWEEP_PLURAL}/{quote(name, '')}"
        try:
            return read_sweep(self._api.get(path))
        except ApiError as error:
            if error.status != 404:
                raise
            raise CommandError(f"There is no LoRASweep {name} in namespace {self.namespace}.") from None

    def read_all(self, *, everywhere: bool = False, selector: str = "") -> list[Run]:
        """Read all of the namespace, or of all namespaces, whose labels fit a selector.

        Raises:
            CommandError: the API server does not say.
        """
        path = f"{_GROUP}/{names.PLURAL}" if everywhere else self._path()
        query = {"labelSelector": selector} if selector else {}
        try:
            return [read_run(item) for item in self._api.items(path, **query)]
        except ApiError as error:
            raise self._no_resource(error) from None

    def patch(self, name: str, spec: Mapping[str, Any]) -> Run:
        """Merge into the spec of one.

        Raises:
            CommandError: there is none of this name, or the API server refuses.
        """
        try:
            return read_run(self._api.write("PATCH", self._path(name), {"spec": spec}))
        except ApiError as error:
            raise self._not_found(name, error) from None

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a LoRAFineTune or LoRASweep.

        Raises:
            CommandError: there is one of this name, or the API server refuses.
        """
        self._api.write("POST", self._path_of(manifest), manifest, fieldValidation="Strict")

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool) -> None:
        """Apply a LoRAFineTune or LoRASweep server-side. `dry_run`: ask what would be said, and write nothing.

        Raises:
            CommandError: the API server refuses.
        """
        query = {"fieldManager": "kubectl-lora", "force": "true", "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = f"{self._path_of(manifest)}/{quote(manifest['metadata']['name'], '')}"
        self._api.write("APPLY", path, manifest, **query)

    def events(self, run: Run) -> Sequence[Event]:
        """Read the Events about a run, oldest first; none where they cannot be read."""
        selector = f"involvedObject.uid={run.uid}"
        try:
            return read_events(self._api.items(f"/api/v1/namespaces/{run.namespace}/events", fieldSelector=selector))
        except CommandError:
            return ()

    def pods(self, run: Run) -> list[Pod]:
        """Read the pods of a run that speak for it, oldest first: of pods that train together the first.

        Raises:
            CommandError: they may not be listed.
        """
        path = f"/api/v1/namespaces/{run.namespace}/pods"
        bodies = self._api.items(path, labelSelector=f"{names.LABEL_FINETUNE}={run.name}")
        found = sorted(map(cleaned, bodies), key=lambda body: str(body["metadata"].get("creationTimestamp", "")))
        return [_pod(body) for body in found if _index(body) == "0"]

    def storage_keys(self, run: Run, secret: str) -> Mapping[str, str]:
        """Read the S3 keys in a Secret of the run's namespace.

        Raises:
            CommandError: it is not there, holds no keys, or may not be read.
        """
        found = self._api.get(f"/api/v1/namespaces/{run.namespace}/secrets/{quote(secret, '')}").get("data") or {}
        try:
            keys = {name: base64.b64decode(found[name]).decode() for name in names.STORAGE_SECRET_KEYS if name in found}
        except ValueError:
            keys = {}
        if not all(name in keys for name in names.STORAGE_SECRET_REQUIRED_KEYS):
            raise CommandError(f"The Secret {secret} has no {' and '.join(names.STORAGE_SECRET_REQUIRED_KEYS)}.")
        return keys

    def log(
        self, run: Run, pod: str, *, follow: bool = False, tail: int | None = None, times: bool = False, since: str = ""
    ) -> Iterator[str]:
        """Read what a pod says, line by line; `follow`: until it ends. `since`: from this time on, RFC 3339.

        Raises:
            ApiError: there is no log, or it may not be read.
            UnreachableError: it broke off.
        """
        query = {"container": names.CONTAINER}
        query |= {"follow": "true"} if follow else {}
        query |= {"timestamps": "true"} if times else {}
        query |= {"sinceTime": since} if since else {}
        query |= {} if tail is None else {"tailLines": str(tail)}
        path = f"/api/v1/namespaces/{run.namespace}/pods/{quote(pod)}/log"
        return map(clean, self._api.lines(path, _SILENCE if follow else TIMEOUT[1], **query))

    def _path_of(self, manifest: Mapping[str, Any]) -> str:
        namespace = manifest["metadata"].get("namespace") or self.namespace
        return f"{_GROUP}/namespaces/{quote(namespace, '')}/{_PLURALS[manifest['kind']]}"

    def _path(self, *name: str) -> str:
        path = f"{_GROUP}/namespaces/{quote(self.namespace, '')}/{names.PLURAL}"
        return "/".join((path, *(quote(part, "") for part in name)))

    def _not_found(self, name: str, error: ApiError) -> CommandError:
        if error.status != 404:
            return error
        try:
            there = [run.name for run in self.read_all()]
        except ApiError:
            there = []
        except CommandError as other:
            return other
        near = difflib.get_close_matches(name, there, n=1)
        meant = f" Is {near[0]} meant?" if near else " `kubectl lora list --all-namespaces` lists all."
        return CommandError(f"There is no LoRAFineTune {name} in namespace {self.namespace}.{meant}")

    def _no_resource(self, error: ApiError) -> CommandError:
        if error.status != 404:
            return error
        return CommandError(
            f"The cluster of context {self._api.context} knows no {names.PLURAL}.{names.GROUP}: lora-operator is not"
            " installed there. `kubectl config get-contexts` lists your contexts, --context names one."
        )


def _pod(body: Mapping[str, Any]) -> Pod:
    status = body.get("status") or {}
    phase = str(status.get("phase", ""))
    containers = status.get("containerStatuses") or []
    states = [each.get("state") or {} for each in containers if each["name"] == names.CONTAINER]
    ended = phase in ("Succeeded", "Failed") or any("terminated" in state for state in states)
    return Pod(
        name=body["metadata"]["name"],
        stage=str((body["metadata"].get("labels") or {}).get(names.LABEL_STAGE, "")),
        created=parse_time(body["metadata"].get("creationTimestamp")),
        node=str((body.get("spec") or {}).get("nodeName", "")),
        started=ended or any("running" in state for state in states),
        ended=ended,
    )


def _index(body: Mapping[str, Any]) -> str:
    return str((body["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-completion-index", "0"))
