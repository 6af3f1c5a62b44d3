"""etcd, the API server, the controller manager and the scheduler."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_cluster.certificates import Authority
from lora_cluster.commands import wait_until
from lora_cluster.kubectl import Kubectl
from lora_cluster.layout import API_SERVICE_ADDRESS, CLUSTER_DOMAIN, SERVICE_RANGE
from lora_cluster.processes import Daemon
from lora_cluster.tools import binary

_ISSUER = "https://kubernetes.default.svc"
# Who did what, without the bodies; one line per finished request.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_READY_SECONDS = 120


@dataclass(frozen=True)
class ControlPlane:
    """One control plane: where its files are, where it listens, and in which network namespace it runs."""

    directory: Path
    address: str
    port: int
    etcd_ports: tuple[int, int]
    namespace: Path | None = None

    @property
    def url(self) -> str:
        """The address of the API server."""
        return f"https://{self.address}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator."""
        return self.directory / "conf" / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON object a line (audit.k8s.io/v1 Event, level Metadata)."""
        return self.directory / "log" / "audit.log"

    def write_files(self) -> Authority:
        """Write certificates, kubeconfigs and audit policy; return the authority for the nodes."""
        conf = self.directory / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        authority = Authority.create(self.directory / "pki")
        service_names = ("kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
        authority.issue(
            "apiserver",
            "kube-apiserver",
            hosts=[
                *("localhost", "kubernetes", "kubernetes.default", *service_names),
                *sorted({"127.0.0.1", self.address, API_SERVICE_ADDRESS}),
            ],
        )
        authority.issue("service-account", "service-account")
        authority.issue("front-proxy", "front-proxy")
        authority.issue("kubelet-client", "kube-apiserver-kubelet", organization="system:masters")
        authority.write_kubeconfig(self.kubeconfig, server=self.url, user="admin", organization="system:masters")
        for component in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
            authority.write_kubeconfig(conf / f"{component}.kubeconfig", server=self.url, user=f"system:{component}")
        (conf / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        return authority

    def start_api_server(self) -> None:
        """Start etcd and the API server, and do not wait for them."""
        self._start("etcd", etcd_arguments(self))
        self._start("kube-apiserver", api_server_arguments(self))

    def wait_ready(self) -> None:
        """Wait until the API server answers that it is ready."""
        kubectl = Kubectl(self.kubeconfig)
        wait_until("the API server", kubectl.ready, timeout=_READY_SECONDS, still_possible=self.require_alive)

    def start_controllers(self, *, scheduler: bool) -> None:
        """Start the controller manager and, where there are nodes, the scheduler."""
        self._start("kube-controller-manager", controller_manager_arguments(self))
        if scheduler:
            conf = self.directory / "conf" / "kube-scheduler.kubeconfig"
            self._start("kube-scheduler", [f"--kubeconfig={conf}", "--leader-elect=false", "--secure-port=0"])

    def require_alive(self) -> None:
        """Raise `ClusterError` when a component of the control plane has ended."""
        for program in ("etcd", "kube-apiserver"):
            Daemon(self.directory, program).require_alive()

    def _start(self, program: str, arguments: Sequence[str]) -> None:
        Daemon(self.directory, program).start([binary(program), *arguments], namespace=self.namespace)


def etcd_arguments(plane: ControlPlane) -> list[str]:
    """Return the command line of etcd; it need not survive a power cut, so it does not wait for the disk."""
    client, peer = (f"http://127.0.0.1:{port}" for port in plane.etcd_ports)
    return [
        f"--data-dir={plane.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_arguments(plane: ControlPlane) -> list[str]:
    """Return the command line of the API server; Pod Security admission is among its defaults."""
    pki = plane.directory / "pki"
    loopback = plane.address.startswith("127.")
    return [
        f"--etcd-servers=http://127.0.0.1:{plane.etcd_ports[0]}",
        f"--bind-address={plane.address}" if loopback else "--bind-address=0.0.0.0",
        f"--advertise-address={plane.address}",
        f"--secure-port={plane.port}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={pki / 'service-account.key'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--enable-aggregator-routing=true",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={plane.directory / 'conf' / 'audit-policy.json'}",
        f"--audit-log-path={plane.audit_log}",
        "--audit-log-maxsize=2048",
        # A loopback address is not valid as an endpoint of the Service `kubernetes`.
        f"--endpoint-reconciler-type={'none' if loopback else 'lease'}",
    ]


def controller_manager_arguments(plane: ControlPlane) -> list[str]:
    """Return the controller manager's command line, with client limits a burst of Jobs does not reach."""
    pki = plane.directory / "pki"
    return [
        f"--kubeconfig={plane.directory / 'conf' / 'kube-controller-manager.kubeconfig'}",
        f"--service-account-private-key-file={pki / 'service-account.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--secure-port=0",
    ]
