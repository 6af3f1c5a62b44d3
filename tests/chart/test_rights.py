"""The chart lets the operator do what its code asks of the API server, and nothing more."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from lora_contract import names
from lora_operator.effects.api.client import Api, ApiError
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.api.lease import Leadership
from lora_operator.effects.api.token_review import TokenReviews
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key, Kind
from support import chart

#: Group, resource and verb.
Right = tuple[str, str, str]

#: Where the cluster checks who sets owner references that block deletion; no request says so.
_OF_OWNER_REFERENCES = {(names.GROUP, "lorafinetunes/finalizers", "update")}
_NAME = {"namespace": "team-a", "name": names.RUNS_POLICY}
_OWNER = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "triage", "uid": "1", "controller": True}
_MANIFEST = {"kind": "Any", "metadata": _NAME | {"labels": {}, "ownerReferences": [_OWNER]}}
_KEY = Key("team-a", "triage")
#: For the calls that serve several kinds: those for which the reconcilers make them.
_KINDS = {
    "get": (Kind.FINETUNE, Kind.SWEEP),
    "create": (Kind.JOB, Kind.FINETUNE),
    "patch_spec": (Kind.JOB, Kind.WORKLOAD, Kind.FINETUNE),
    "patch_status": (Kind.FINETUNE, Kind.SWEEP),
    "pages": tuple(Kind),
    "serves": tuple(Kind),
}
_ARGUMENTS: dict[str, Any] = {
    "namespace": "team-a",
    "key": _KEY,
    "labels": None,
    "name": "job",
    "uid": "1",
    "object_kind": "Job",
    "manifest": _MANIFEST,
    "event": {},
    "spec": {},
    "patch": {},
    "resource_version": "1",
    "label": "memory",
    "selector": "",
    "local_queue": _KEY,
}


@dataclass
class AskedApi:
    """Records what is asked. Nothing exists yet on the first of two rounds, and everything on the second."""

    exists: bool = False
    rights: set[Right] = field(default_factory=set)

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        if (right := right_of(method, path)) is not None:
            self.rights.add(right)
        if method == "POST" and self.exists:
            raise ApiError(409, "AlreadyExists", "")
        if method == "GET" and path.endswith("/lease") and not self.exists:
            raise ApiError(404, "NotFound", "")
        metadata = {"resourceVersion": "1"}
        return {"kind": "Any", "metadata": metadata, "spec": {"holderIdentity": "a"}, "items": [], "resources": []}


def right_of(method: str, path: str) -> Right | None:
    """What RBAC asks for a request; None where it asks for nothing: what is served may be read by all."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    rest = rest[2:] if rest[:1] == ["namespaces"] else rest
    if not rest:
        return None
    resource = "/".join([rest[0], *rest[2:]])
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return group, resource, verbs.get(method, "get" if len(rest) > 1 else "list")


async def asked() -> set[Right]:
    """Everything the operator's code asks for; kopf lists and watches all kinds."""
    api = AskedApi()
    kube = Kube(cast("Api", api), lambda: True)
    calls = [name for name, function in inspect.getmembers(Kube, is_request) if not name.startswith("_")]
    for api.exists in (False, True):
        for name in calls:
            for kind in _KINDS.get(name, (Kind.JOB,)):
                await call(getattr(kube, name), _ARGUMENTS | {"kind": kind})
        leadership = Leadership(cast("Api", api), namespace="system", name="lease", identity="a")
        await leadership.renew()
    with pytest.raises(ApiError):
        await TokenReviews(cast("Api", api)).pod_of("token")
    return api.rights | {(kind.group, kind.plural, verb) for kind in Kind for verb in ("list", "watch")}


def is_request(member: object) -> bool:
    return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)


async def call(function: Any, arguments: Mapping[str, Any]) -> None:
    given = {name: arguments[name] for name in inspect.signature(function).parameters}
    answer = function(**given)
    with suppress(ExpectedError):
        if isinstance(answer, AsyncIterator):
            async for _ in answer:
                pass
        else:
            await answer


async def test_the_rights_are_those_that_are_used() -> None:
    granted = {
        (group, resource, verb)
        for rule in chart.operator_rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == await asked() | _OF_OWNER_REFERENCES
