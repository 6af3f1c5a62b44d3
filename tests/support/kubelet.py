"""A stand-in for the kubelet: every pod of a namespace starts and, when its report is ready, ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kubernetes import client

from lora_contract import names
from lora_contract.report import Report
from support.pods import Pods

#: The report of a stage of a run, by its name; None: the pod goes on running.
Script = Callable[[str, str], Report | None]


@contextmanager
def kubelet(pods: Pods, script: Script) -> Iterator[None]:
    """Play the pods of a namespace as `script` says until the context ends."""
    ended = threading.Event()
    thread = threading.Thread(target=_play, args=(pods, script, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)


def _play(pods: Pods, script: Script, ended: threading.Event) -> None:
    api = client.CoreV1Api(pods.api)
    while not ended.wait(0.1):
        for pod in api.list_namespaced_pod(pods.namespace).items:
            try:
                _step(pods, pod, script)
            except client.ApiException as error:
                if error.status not in (404, 409):  # gone, or changed by somebody else: next time
                    raise


def _step(pods: Pods, pod: client.V1Pod, script: Script) -> None:
    labels = pod.metadata.labels
    if pod.metadata.deletion_timestamp or pod.status.phase in ("Succeeded", "Failed"):
        return
    if pod.status.phase == "Pending":
        pods.starts(pod)
    report = script(labels[names.LABEL_FINETUNE], labels[names.LABEL_STAGE])
    if report is not None:
        pods.ends(pod, report)
