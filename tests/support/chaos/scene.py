"""The stage of one scenario: a namespace, an operator behind a proxy that can strike it down, and a user's hands."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from support import operator
from support.api_proxy import ApiProxy, serving
from support.api_server import manifest
from support.chaos.kubelet import Kubelet
from support.chaos.kueue import Kueue
from support.chaos.mirror import Body, Mirror, RefusedError, path_of
from support.chaos.processes import ForkedOperator
from support.specs import changed

When = Literal["before", "after"]


@dataclass(frozen=True)
class Site:
    """What all scenes share: one API server with its pretended kubelets and Kueue."""

    mirror: Mirror
    kubelet: Kubelet
    kueue: Kueue
    upstream: aiohttp.ClientSession
    kubeconfig: Path
    directory: Path


@dataclass
class Scene:
    """One namespace. The operator is started again whenever it was struck down; the scenario goes on meanwhile."""

    site: Site
    namespace: str
    proxy: ApiProxy
    settings: dict[str, str] = field(default_factory=dict)
    operator: ForkedOperator | None = None
    patience: float = 60.0
    kills: int = 0
    _restarts: set[asyncio.Task[None]] = field(default_factory=set)

    # ---- the operator

    def start_operator(self) -> None:
        """Start one process, and do not wait for it."""
        self.operator = self.replica().start()

    def replica(self, pod: str = "") -> ForkedOperator:
        """A process for this namespace that is not started yet."""
        directory = self.site.directory / self.namespace
        kubeconfig = operator.redirect(self.site.kubeconfig, self.proxy.url, directory / "kubeconfig")
        settings = {"WATCH_NAMESPACES": self.namespace} | self.settings
        return ForkedOperator(kubeconfig, directory / f"operator{pod}.log", settings, pod)

    def strike(self, number: int, when: When) -> None:
        """Kill the operator at its n-th write."""
        self.proxy.strike(number, when, self._kill_and_restart)

    def _kill_and_restart(self) -> None:
        self.kills += 1
        if self.operator is not None:
            self.operator.kill()
        task = asyncio.create_task(self._restart())
        self._restarts.add(task)

    async def _restart(self) -> None:
        self.start_operator()

    async def restart_when_ended(self) -> None:
        """Start the operator again whenever it ends by itself, as the kubelet does, until cancelled."""
        while True:
            if self.operator is not None and not self.operator.running:
                self.start_operator()
            await asyncio.sleep(0.2)

    # ---- what the user does

    async def apply(self, run: str, **changes: Any) -> None:
        """Create a run; paths of the spec are written with `__` for the dot."""
        spec = changed({path.replace("__", "."): value for path, value in changes.items()})
        await self._request("POST", path_of(names.PLURAL, self.namespace), manifest(run, spec))

    async def patch(self, run: str, **spec: Any) -> None:
        """Merge into the spec of a run."""
        await self._request("PATCH", path_of(names.PLURAL, self.namespace, run), {"spec": spec})

    async def create_sweep(self, name: str, spec: Body) -> None:
        """Create a sweep."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.SWEEP_KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        await self._request("POST", path_of(names.SWEEP_PLURAL, self.namespace), body)

    async def delete(self, plural: str, name: str, *, propagation: str = "Background") -> None:
        """Delete an object and its dependents."""
        with suppress(RefusedError):
            await self._request("DELETE", path_of(plural, self.namespace, name), {"propagationPolicy": propagation})

    async def delete_job(self, run: str, stage: str) -> None:
        """Delete the Job of a stage, as a user may."""
        await self.delete("jobs", (await self.job(run, stage))["metadata"]["name"])

    # ---- what the cluster does

    async def job(self, run: str, stage: str) -> Body:
        """The Job of a stage; waits for it."""
        await self.until(f"a {stage} Job of {run}", lambda: bool(self.jobs(run, stage)))
        return self.jobs(run, stage)[-1]

    async def starts(self, run: str, stage: str, *, index: int = 0) -> Body:
        """The next pod of a stage appears and its container runs; the pod."""

        def waiting() -> list[Body]:
            return [pod for pod in self.pods(run, stage, index) if pod["status"]["phase"] == "Pending"]

        while True:
            await self.until(f"a {stage} pod of {run}", lambda: bool(waiting()))
            pod = waiting()[-1]
            with suppress(RefusedError):  # gone again: its Job was deleted
                await self.site.kubelet.start(pod)
                return pod

    async def ends(self, pod: Body, report: Report | None, exit_code: int = ExitCode.DONE) -> None:
        """The container of a pod ends."""
        await self.site.kubelet.end(pod, report, exit_code)

    async def plays(self, run: str, stage: str, report: Report | None, exit_code: int = ExitCode.DONE) -> None:
        """The next pod of a stage starts, is seen running where it trains, and ends."""
        pod = await self.starts(run, stage)
        if stage == names.STAGE_TRAIN:
            await self.in_phase(run, "Running")
        await self.ends(pod, report, exit_code)

    async def waits(self, run: str, stage: str, reason: str, message: str) -> None:
        """The container of the next pod of a stage cannot start."""
        await self.until(f"a {stage} pod of {run}", lambda: bool(self.pods(run, stage)))
        await self.site.kubelet.hold(self.pods(run, stage)[-1], reason, message)

    async def admits(self, run: str) -> None:
        """Kueue gives quota to the train Job of a run; waits for its Workload."""
        job = await self.job(run, names.STAGE_TRAIN)
        uid = job["metadata"]["uid"]
        await self.until("its Workload waits", lambda: self.site.kueue.waits(self.namespace, uid))
        await self.site.kueue.admit(self.namespace, job)

    async def preempts(self, run: str) -> None:
        """Kueue takes the quota back."""
        await self.site.kueue.preempt(self.namespace, await self.job(run, names.STAGE_TRAIN))

    # ---- what is seen

    def sweep(self, name: str) -> Body:
        """A sweep as last seen; empty where there is none."""
        return self.site.mirror.get(names.SWEEP_PLURAL, self.namespace, name) or {}

    def is_empty(self) -> bool:
        """Whether no run, Job or pod is left."""
        return not any(self.site.mirror.all(plural, self.namespace) for plural in (names.PLURAL, "jobs", "pods"))

    async def has_attempts(self, run: str, count: int) -> None:
        """Wait until so many train attempts of a run are told as ended."""

        def ended() -> int:
            attempts = (self.run(run).get("status") or {}).get("attempts") or ()
            return sum(1 for each in attempts if each["stage"] == names.STAGE_TRAIN and each.get("endTime"))

        await self.until(f"{count} ended attempts of {run}", lambda: ended() >= count)

    async def says(self, run: str, reason: str) -> None:
        """Wait until Ready of a run has a reason."""

        def holds() -> bool:
            conditions = (self.run(run).get("status") or {}).get("conditions") or ()
            return any(each["type"] == "Ready" and each["reason"] == reason for each in conditions)

        await self.until(f"{run} says {reason}", holds)

    def run(self, run: str) -> Body:
        """A run as last seen; empty where there is none."""
        return self.site.mirror.get(names.PLURAL, self.namespace, run) or {}

    def jobs(self, run: str, stage: str) -> list[Body]:
        """The Jobs of a stage that are not being deleted."""
        return [job for job in self.site.mirror.all("jobs", self.namespace) if _is_of(job, run, stage)]

    def pods(self, run: str, stage: str, index: int = 0) -> list[Body]:
        """The pods of one index of a stage that are not being deleted, oldest first."""
        mine = [pod for pod in self.site.mirror.all("pods", self.namespace) if _is_of(pod, run, stage)]
        label = "batch.kubernetes.io/job-completion-index"
        return [pod for pod in mine if int(pod["metadata"]["labels"].get(label, 0)) == index]

    async def in_phase(self, run: str, phase: str) -> None:
        """Wait for the phase of a run."""
        await self.until(f"{run} is {phase}", lambda: (self.run(run).get("status") or {}).get("phase") == phase)

    async def reaches(self, run: str, condition: str) -> None:
        """Wait for a condition of a run."""
        await self.until(f"{run} is {condition}", lambda: is_true(self.run(run), condition))

    async def until(self, what: str, holds: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Wait for a condition on what the mirror shows, at most `patience` seconds where nothing else is said."""
        await self.site.mirror.until(self.namespace, what, holds, seconds=seconds or self.patience)

    async def _request(self, method: str, path: str, body: Body) -> Body:
        return await self.site.mirror.request(method, path, body)


def is_true(body: Body, condition: str) -> bool:
    """Whether a condition of an object holds."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _is_of(body: Body, run: str, stage: str) -> bool:
    labels = body["metadata"].get("labels") or {}
    mine = labels.get(names.LABEL_FINETUNE) == run and labels.get(names.LABEL_STAGE) == stage
    return mine and not body["metadata"].get("deletionTimestamp")


@asynccontextmanager
async def scene(site: Site, settings: dict[str, str] | None = None, *, operated: bool = True) -> AsyncIterator[Scene]:
    """A new namespace, with an operator that ends with the context unless the scenario starts its own."""
    namespace = f"scene-{uuid.uuid4().hex[:8]}"
    (site.directory / namespace).mkdir()
    await site.mirror.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    account = "the ServiceAccount without which no pod is made"
    await site.mirror.until(namespace, account, lambda: bool(site.mirror.get("serviceaccounts", namespace, "default")))
    proxy = ApiProxy(site.mirror.server)
    async with serving(proxy, site.upstream):
        made = Scene(site, namespace, proxy, settings or {})
        try:
            if operated:
                made.start_operator()
            yield made
        finally:
            if made.operator is not None:
                made.operator.kill()
