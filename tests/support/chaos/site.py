"""One API server for all scenes, with pretended nodes and a pretended Kueue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import yaml

from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from support import api_server, operator
from support.api_proxy import upstream
from support.chaos.kubelet import Kubelet
from support.chaos.kueue import Kueue
from support.chaos.mirror import mirrored
from support.chaos.scene import Site
from support.kueue_crd import WORKLOAD_CRD


@asynccontextmanager
async def site(plane: ControlPlane, directory: Path) -> AsyncIterator[Site]:
    """Set a control plane up for scenes."""
    kubeconfig = await asyncio.to_thread(_install, plane, directory)
    authority = str(plane.directory / "pki" / "ca.crt")
    async with mirrored(plane.kubeconfig) as mirror, upstream(authority) as session:
        kubelet, kueue = Kubelet(mirror), Kueue(mirror)
        await kubelet.register()
        kueue.manage()
        beating = asyncio.create_task(kubelet.beat())
        try:
            yield Site(mirror, kubelet, kueue, session, kubeconfig, directory)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


def _install(plane: ControlPlane, directory: Path) -> Path:
    Kubectl(plane.kubeconfig).apply_text(yaml.safe_dump(WORKLOAD_CRD))
    Kubectl(plane.kubeconfig).run(
        "wait", "--for=condition=Established", "crd/workloads.kueue.x-k8s.io", "--timeout=60s"
    )
    api = api_server.connect(plane)
    operator.install(api)
    return operator.write_kubeconfig(api, plane, directory / "kubeconfig")
