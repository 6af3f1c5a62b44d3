"""The calls to the API server that the operator makes. None of them reads a Secret."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from lora_contract import names
from lora_operator.core.observe.observed import WarningEvent
from lora_operator.core.observe.owner import controller_of
from lora_operator.effects import metrics
from lora_operator.effects.api.client import JSON, MERGE_PATCH, METADATA_ONLY, Api, ApiError, reading
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import OURS, Key, Kind, network_policies_path, services_path

logger = logging.getLogger(__name__)

#: Smaller pages keep the memory of a start low: what a page takes while it is read is not given back.
_PAGE = 200
_MAX_WARNINGS = 50
_VISIBILITY = "/apis/visibility.kueue.x-k8s.io/v1beta2"
_MAX_PENDING = 1000
_MADE_BY_US = (names.LABEL_MANAGED_BY, names.LABEL_STAGE, names.LABEL_SWEEP)


class NotLeaderError(ExpectedError):
    """This process may not write: another one leads, or may do so."""

    longest_wait = 10.0


class NotOursError(ExpectedError):
    """An object of the name that was to be created exists and belongs to somebody else."""


class UnreadableError(ExpectedError):
    """An object of the name that was to be created exists, and the operator has no right to read it."""


class StillThereError(ExpectedError):
    """An object of the name that was to be created is on its way out."""

    longest_wait = 10.0


class Page(NamedTuple):
    """Part of a list, with the resource version of the whole list."""

    items: list[dict[str, Any]]
    version: int


class Kube:
    """Reads and writes of the objects of runs. `may_write` is asked before every write."""

    def __init__(self, api: Api, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._may_write = may_write

    async def serves(self, kind: Kind) -> bool:
        """Return whether the API server knows a kind."""
        try:
            answer = await self._api.request("GET", kind.root)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        with reading(kind.root):
            return any(resource["name"] == kind.plural for resource in answer.get("resources") or ())

    def now(self) -> datetime:
        """Return the time by the API server's clock."""
        return self._api.clock.now()

    async def pages(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> AsyncIterator[Page]:
        """List all objects of a kind that are ours, or of them those with these labels."""
        wanted = [kind.selector, *(f"{label}={value}" for label, value in (labels or {}).items())]
        async for page in self._pages(kind.path(namespace), ",".join(filter(None, wanted))):
            yield page

    async def _pages(self, path: str, selector: str, *, accept: str = JSON) -> AsyncIterator[Page]:
        query: dict[str, str | int] = {"limit": _PAGE}
        if selector:
            query["labelSelector"] = selector
        while True:
            page = await self._api.request("GET", path, query=query, accept=accept)
            with reading(path):
                found = Page(page.get("items") or [], int(page["metadata"]["resourceVersion"]))
                if not all(item["metadata"]["name"] for item in found.items):
                    raise ValueError("an object without a name")
                token = page["metadata"].get("continue")
            yield found
            if not token:
                return
            query["continue"] = token

    async def revision(self, namespace: str | None) -> int:
        """Read the resource version of now; it only grows, unless etcd is put back to an earlier moment."""
        answer = await self._api.request("GET", Kind.FINETUNE.path(namespace), query={"limit": 1}, accept=METADATA_ONLY)
        with reading("the latest resource version"):
            return int(answer["metadata"]["resourceVersion"])

    async def get(self, kind: Kind, key: Key) -> dict[str, Any] | None:
        """Read one object; None where it does not exist."""
        return await self._get(kind.path(key.namespace, key.name))

    async def create(self, kind: Kind, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, or find the one that was created before; the object.

        Raises:
            NotOursError: there is one of this name that is not what a `create` of the same controller made.
            UnreadableError: there is one of this name, and the operator may not read it.
            StillThereError: there is one of this name that is being deleted.
            ApiError: the API server refuses it.
        """
        body, new = await self._create_once(kind.path(namespace), manifest)
        if new and kind is Kind.JOB:
            stage = (manifest["metadata"].get("labels") or {}).get(names.LABEL_STAGE, "")
            metrics.JOBS_CREATED.labels(stage=stage).inc()
        return body

    async def create_service(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create the Service of a Job, or find that it was created before.

        Raises:
            NotOursError, ApiError: as `create`.
        """
        await self._create_once(services_path(namespace), manifest)

    async def create_group_policy(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create the NetworkPolicy of a Job, or find that it was created before.

        Raises:
            NotOursError, ApiError: as `create`.
        """
        await self._create_once(network_policies_path(namespace), manifest)

    async def apply_runs_policy(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create the NetworkPolicy for all run pods of a namespace, or replace what stands under its name.

        Raises:
            ApiError: the API server refuses it.
        """
        collection = network_policies_path(namespace)
        try:
            await self._write("POST", collection, manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._write("PUT", f"{collection}/{names.RUNS_POLICY}", manifest)

    async def isolated_namespaces(self, namespace: str | None, spec: Mapping[str, Any]) -> frozenset[str]:
        """Name the namespaces whose NetworkPolicy for all run pods says just this.

        None of them where the operator may not list them: making one then says so on the run.
        """
        found: set[str] = set()
        try:
            async for page in self._pages(network_policies_path(namespace), OURS):
                for item in page.items:
                    metadata = item["metadata"]
                    if metadata["name"] == names.RUNS_POLICY and item.get("spec") == spec:
                        found.add(metadata["namespace"])
        except ApiError as error:
            if error.status != 403:
                raise
            logger.warning("the NetworkPolicies cannot be listed: %s", error.message)
        return frozenset(found)

    async def delete_job(self, namespace: str, name: str, *, uid: str) -> None:
        """Delete a Job and, in the background, its pods. That it is gone already, or is another one, is fine."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._write("DELETE", Kind.JOB.path(namespace, name), body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def patch_spec(self, kind: Kind, key: Key, spec: Mapping[str, Any]) -> dict[str, Any] | None:
        """Change fields of the spec of an object; the object, or None where it is gone."""
        try:
            return await self._write("PATCH", kind.path(key.namespace, key.name), {"spec": spec}, MERGE_PATCH)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def patch_status(
        self, kind: Kind, key: Key, patch: Mapping[str, Any], *, resource_version: str
    ) -> dict[str, Any]:
        """Merge into the status of an object if nobody changed it since `resource_version`; the new object.

        Raises:
            ApiError: with status 409 if somebody did, 404 if it is gone.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        return await self._write("PATCH", f"{kind.path(key.namespace, key.name)}/status", body, MERGE_PATCH)

    async def warnings(self, namespace: str, object_kind: str, name: str) -> list[WarningEvent]:
        """Read the Warning Events about a Job or pod, newest first."""
        selector = f"involvedObject.kind={object_kind},involvedObject.name={name},type=Warning"
        query: dict[str, str | int] = {"fieldSelector": selector, "limit": _MAX_WARNINGS}
        path = f"/api/v1/namespaces/{namespace}/events"
        answer = await self._api.request("GET", path, query=query)
        with reading(path):
            newest_first = sorted(answer.get("items") or (), key=_last_seen, reverse=True)
            return [WarningEvent.from_dict(item, _last_seen(item)) for item in newest_first[:_MAX_WARNINGS]]

    async def largest_gpu(self, label: str, selector: str) -> int | None:
        """Read the most memory in bytes that nodes matching a selector say in a label in MiB; None: none says it.

        Also None where the operator may not list nodes: the platform chose so.
        """
        sizes: list[int] = []
        try:
            async for page in self._pages("/api/v1/nodes", selector, accept=METADATA_ONLY):
                with reading("/api/v1/nodes"):
                    texts = [str((node["metadata"].get("labels") or {}).get(label)) for node in page.items]
                    sizes += [int(text) for text in texts if text.isdecimal()]
        except ApiError as error:
            if error.status != 403:
                raise
            logger.warning("the GPU memory of nodes cannot be read: %s", error.message)
        return max(sizes, default=0) << 20 or None

    async def queue_positions(self, local_queue: Key) -> dict[str, int]:
        """Read the place of every pending Workload in a LocalQueue, by its name; 1 is next.

        Raises:
            ApiError: Kueue's visibility API is not served, or the operator may not read it.
        """
        path = f"{_VISIBILITY}/namespaces/{local_queue.namespace}/localqueues/{local_queue.name}/pendingworkloads"
        answer = await self._api.request("GET", path, query={"limit": _MAX_PENDING})
        with reading(path):
            items = answer.get("items") or ()
            return {item["metadata"]["name"]: int(item.get("positionInLocalQueue") or 0) + 1 for item in items}

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Create a Kubernetes Event."""
        await self._write("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)

    async def _create_once(self, collection: str, manifest: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Create an object, or find the one that was created before, and whether it is new."""
        try:
            return await self._write("POST", collection, manifest), True
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        metadata = manifest["metadata"]
        what = f"{manifest['kind']} {Key(metadata['namespace'], metadata['name'])}"
        try:
            found = await self._get(f"{collection}/{metadata['name']}")
        except ApiError as error:
            if error.status == 403:
                raise UnreadableError(f"{what} exists, but the operator may not read it: {error.message}") from error
            raise
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise StillThereError(f"{what} is being deleted")
        if not _is_made_from(found["metadata"], metadata):
            raise NotOursError(f"{what} exists and was not made for this object: its controller or labels are others")
        return found, False

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            return await self._api.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _write(
        self, method: str, path: str, body: Mapping[str, Any], content_type: str = "application/json"
    ) -> dict[str, Any]:
        if not self._may_write():
            raise NotLeaderError("another process leads now")
        return await self._api.request(method, path, body=body, content_type=content_type)


def _is_made_from(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether an object, by its metadata, is one that we created: controlled and labelled as wanted."""
    labels = found.get("labels") or {}
    ours = all(labels.get(key) == value for key, value in wanted["labels"].items() if key in _MADE_BY_US)
    return ours and controller_of(found) == controller_of(wanted)


def _last_seen(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((str(time) for time in times if time), default="")
