"""The kubelets of pretended nodes: they report the nodes ready, and stop the containers of pods that are deleted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_contract.times import format_time
from support.chaos.mirror import Body, Mirror, RefusedError, path_of
from support.pods import ended, pod_status

NODES = ("node-1", "node-2")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_HEARTBEAT_SECONDS = 10.0


@dataclass
class Kubelet:
    """All pretended nodes."""

    mirror: Mirror
    _stopping: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def register(self) -> None:
        """Make the nodes, and stop pods that are deleted from now on."""
        with suppress(RefusedError):
            await self.mirror.request("POST", "/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
        for node in NODES:
            await self.mirror.request("POST", "/api/v1/nodes", {"metadata": {"name": node}})
            await self.mirror.request("PATCH", f"/api/v1/nodes/{node}/status", {"status": {"conditions": [_ready()]}})
            await self.mirror.request("POST", _LEASES, {"metadata": {"name": node}, "spec": _lease(node)})
        self.mirror.reactions.append(self._react)

    async def beat(self) -> None:
        """Keep the nodes ready until cancelled."""
        while True:
            for node in NODES:
                with suppress(RefusedError, aiohttp.ClientError):
                    await self.mirror.request("PATCH", f"{_LEASES}/{node}", {"spec": _lease(node)})
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def start(self, pod: Body) -> None:
        """Put a pod on a node, and let its container run."""
        await self._bind(pod)
        await self._write(pod, pod_status("Running", {"running": {"startedAt": _now()}}))

    async def hold(self, pod: Body, reason: str, message: str) -> None:
        """Put a pod on a node that cannot start its container."""
        await self._bind(pod)
        await self._write(pod, pod_status("Pending", {"waiting": {"reason": reason, "message": message}}))

    async def _bind(self, pod: Body) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        index = int(pod["metadata"]["labels"].get("batch.kubernetes.io/job-completion-index", 0))
        target = {"kind": "Node", "name": NODES[index % len(NODES)]}
        body = {"metadata": {"name": name}, "target": target}
        await self.mirror.request("POST", f"{path_of('pods', namespace, name)}/binding", body)

    async def end(self, pod: Body, report: Report | None, exit_code: int = ExitCode.DONE) -> None:
        """Let the container of a pod end with a termination message and an exit code."""
        await self._write(pod, ended(report, exit_code))

    def _react(self, plural: str, body: Body) -> None:
        uid = body["metadata"]["uid"]
        if plural != "pods" or not body["metadata"].get("deletionTimestamp") or uid in self._stopping:
            return
        self._stopping.add(uid)
        task = asyncio.create_task(self._stop(body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self, pod: Body) -> None:
        """SIGTERM: the trainer saves a checkpoint and ends; then the pod goes."""
        with suppress(RefusedError):
            if pod["status"].get("phase") == "Running":
                stage = pod["metadata"]["labels"].get(names.LABEL_STAGE)
                report = Report(stage="train") if stage == names.STAGE_TRAIN else None
                await self._write(pod, ended(report, ExitCode.CHECKPOINTED))
            path = path_of("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
            options: dict[str, Any] = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
            await self.mirror.request("DELETE", path, options)

    async def _write(self, pod: Body, patch: Body) -> None:
        path = path_of("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        await self.mirror.request("PATCH", f"{path}/status", patch)


def _lease(node: str) -> Body:
    renewed = format_time(datetime.now(UTC), fraction=True)
    return {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": renewed}


def _ready() -> Body:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "",
        "lastHeartbeatTime": _now(),
        "lastTransitionTime": _now(),
    }


def _now() -> str:
    return format_time(datetime.now(UTC))
