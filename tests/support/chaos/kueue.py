"""A pretended Kueue: it makes the Workload of every queued Job, and gives and takes quota as a scenario says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lora_contract.times import format_time
from support.chaos.mirror import Body, Mirror, RefusedError, path_of

_QUEUE = "kueue.x-k8s.io/queue-name"
_JOB_UID = "kueue.x-k8s.io/job-uid"


@dataclass
class Kueue:
    """The queues of all namespaces: as many places as are given."""

    mirror: Mirror
    _known: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def manage(self) -> None:
        """Take care of queued Jobs from now on."""
        self.mirror.reactions.append(self._react)

    def workload(self, namespace: str, job_uid: str) -> Body | None:
        """The Workload of a Job."""
        found = (w for w in self.mirror.all("workloads", namespace) if w["metadata"]["labels"][_JOB_UID] == job_uid)
        return next(found, None)

    def waits(self, namespace: str, job_uid: str) -> bool:
        """Whether a Job is in a queue, and its Workload not switched off."""
        workload = self.workload(namespace, job_uid)
        return workload is not None and workload["spec"].get("active") is not False and not _reserved(workload)

    async def admit(self, namespace: str, job: Body) -> None:
        """Give quota to a Job, and let it go."""
        await self._tell(namespace, job, _condition("QuotaReserved", "True", "QuotaReserved", "Quota reserved"),
                         _condition("Admitted", "True", "Admitted", "The workload is admitted"))  # fmt: skip
        await self._suspend(namespace, job, False)

    async def preempt(self, namespace: str, job: Body) -> None:
        """Take the quota of a Job back for another."""
        words = "Preempted to accommodate a workload of higher priority"
        await self._tell(namespace, job, _condition("QuotaReserved", "False", "Pending", words),
                         _condition("Admitted", "False", "NoReservation", words),
                         _condition("Evicted", "True", "Preempted", words))  # fmt: skip
        await self._suspend(namespace, job, True)

    def _react(self, plural: str, body: Body) -> None:
        if plural == "jobs" and _QUEUE in body["metadata"].get("labels", {}):
            if body["metadata"]["uid"] not in self._known:
                self._known.add(body["metadata"]["uid"])
                self._start(self._make(body))
        elif plural == "workloads" and body["spec"].get("active") is False and _reserved(body):
            self._start(self._stop(body))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, job: Body) -> None:
        metadata = job["metadata"]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        workload = {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "metadata": {
                "name": f"job-{metadata['name']}-{metadata['uid'][:5]}",
                "labels": {_JOB_UID: metadata["uid"]},
                "ownerReferences": [owner],
            },
            "spec": {"active": True, "queueName": metadata["labels"][_QUEUE]},
        }
        with suppress(RefusedError):
            await self.mirror.request("POST", path_of("workloads", metadata["namespace"]), workload)

    async def _stop(self, workload: Body) -> None:
        """A Workload that is switched off loses its quota, and its Job is paused."""
        namespace = workload["metadata"]["namespace"]
        uid = workload["metadata"]["labels"][_JOB_UID]
        job = next((job for job in self.mirror.all("jobs", namespace) if job["metadata"]["uid"] == uid), None)
        if job is None:
            return
        words = "The workload is deactivated"
        with suppress(RefusedError):
            await self._tell(namespace, job, _condition("QuotaReserved", "False", "Pending", words),
                             _condition("Evicted", "True", "Deactivated", words))  # fmt: skip
            await self._suspend(namespace, job, True)

    async def _tell(self, namespace: str, job: Body, *conditions: Body) -> None:
        workload = self.workload(namespace, job["metadata"]["uid"])
        assert workload is not None, "Kueue makes the Workload first"
        path = path_of("workloads", namespace, workload["metadata"]["name"])
        await self.mirror.request("PATCH", f"{path}/status", {"status": {"conditions": list(conditions)}})

    async def _suspend(self, namespace: str, job: Body, suspend: bool) -> None:
        path = path_of("jobs", namespace, job["metadata"]["name"])
        await self.mirror.request("PATCH", path, {"spec": {"suspend": suspend}})


def _reserved(workload: Body) -> bool:
    conditions = (workload.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "QuotaReserved" and each["status"] == "True" for each in conditions)


def _condition(kind: str, status: str, reason: str, message: str) -> Body:
    moment = format_time(datetime.now(UTC))
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": moment}
