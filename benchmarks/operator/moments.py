"""When a watcher first saw what: the clock of one process for all figures."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import urllib3
from kubernetes import client

from lora_contract import names

_PATIENCE_SECONDS = 600.0


class Moments:
    """Watches the runs, Jobs and pods of one namespace and notes when something was first true (monotonic seconds)."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._paths = (
            f"/apis/batch/v1/namespaces/{namespace}/jobs",
            f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace}/{names.PLURAL}",
            f"/api/v1/namespaces/{namespace}/pods",
        )
        self._seen: dict[tuple[str, str], float] = {}
        self._pods: dict[tuple[str, str], str] = {}
        self._changed = threading.Condition()
        self._ended = False

    def __enter__(self) -> Self:
        """Start watching."""
        for path in self._paths:
            threading.Thread(target=self._watch, args=(path,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop noting."""
        self._ended = True

    def job_created(self, run: str, stage: str) -> float:
        """When the Job of a stage was there."""
        return self._when(run, f"{stage} created")

    def train_job_complete(self, run: str) -> float:
        """When the train Job was Complete."""
        return self._when(run, f"{names.STAGE_TRAIN} Complete")

    def complete(self, run: str) -> float:
        """When the run was Complete."""
        return self._when(run, "run Complete")

    def pod(self, run: str, stage: str) -> str:
        """The name of the pod of a stage; waits for it."""
        self._when(run, f"{stage} pod created")
        return self._pods[run, stage]

    def _when(self, run: str, what: str) -> float:
        with self._changed:
            if not self._changed.wait_for(lambda: (run, what) in self._seen, _PATIENCE_SECONDS):
                raise TimeoutError(f"{run}: not {what} within {_PATIENCE_SECONDS} s")
            return self._seen[run, what]

    def _watch(self, path: str) -> None:
        pool: urllib3.PoolManager = self._api.rest_client.pool_manager
        while not self._ended:
            with suppress(urllib3.exceptions.HTTPError):
                answer = pool.request("GET", f"{self._api.configuration.host}{path}?watch=true", preload_content=False)
                buffer = b""
                for chunk in answer.stream(65536, decode_content=True):
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        self._note(json.loads(line)["object"])
                    if self._ended:
                        answer.close()
                        return

    def _note(self, body: dict[str, Any]) -> None:
        now = time.monotonic()
        labels = body["metadata"].get("labels") or {}
        child = body["kind"] in ("Job", "Pod")
        run = labels.get(names.LABEL_FINETUNE, "") if child else body["metadata"]["name"]
        subject = labels.get(names.LABEL_STAGE, "") if child else "run"
        if body["kind"] == "Pod":
            self._pods[run, subject] = body["metadata"]["name"]
            subject = f"{subject} pod"
        true = {c["type"] for c in (body.get("status") or {}).get("conditions") or () if c["status"] == "True"}
        with self._changed:
            for what in (f"{subject} created", *(f"{subject} {kind}" for kind in true)):
                self._seen.setdefault((run, what), now)
            self._changed.notify_all()
