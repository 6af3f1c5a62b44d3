"""A real Flux: its controllers as processes beside an API server, and a Git repository that they read over HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from lora_cluster import tools
from lora_cluster.api_server import free_ports
from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from support.api_server import eventually
from support.judge import GITOPS

NAMESPACE = "flux-system"
_CRDS = ("gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io")


@dataclass(frozen=True)
class Repository:
    """A Git repository: a clone to write in, and the bare one that is served."""

    clone: Path
    url: str

    def commit(self, files: dict[str, str | None]) -> str:
        """Write files (None: remove one), commit and push; the commit's id."""
        for name, content in files.items():
            path = self.clone / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--allow-empty", "--message=change")
        git(self.clone, "push", "--quiet", "origin", "HEAD:main")
        return git(self.clone, "rev-parse", "HEAD").strip()


@dataclass(frozen=True)
class Flux:
    """Controllers of Flux that run, and the Kustomization of a file of the chart."""

    kubectl: Kubectl

    def follow(self, name: str, repository: Repository, target: str, file: str) -> None:
        """Apply what is in a repository to a namespace, by one of the two Kustomizations of the chart."""
        source = {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"interval": "1h", "url": repository.url, "ref": {"branch": "main"}},
        }
        kustomization = yaml.safe_load((GITOPS / file).read_text(encoding="utf-8"))
        kustomization["metadata"]["name"] = name
        kustomization["spec"]["sourceRef"]["name"] = name
        kustomization["spec"]["targetNamespace"] = target
        self.kubectl.apply_text(yaml.safe_dump_all([source, kustomization]))

    def reconcile(self, name: str, commit: str) -> None:
        """Ask for a look at the repository, as `flux reconcile source git` does, and wait until it is fetched."""
        asked = f"reconcile.fluxcd.io/requestedAt={commit}"
        place = f"--namespace={NAMESPACE}"
        self.kubectl.run("annotate", "--overwrite", "gitrepositories", name, asked, place)
        eventually("the commit is fetched", lambda: commit in str(self._get("gitrepositories", name)["status"]))

    def applied(self, name: str, commit: str) -> bool:
        """Whether this commit was applied, and found as healthy as the Kustomization asks for."""
        return commit in str(self._get("kustomizations", name).get("status", {}).get("lastAppliedRevision"))

    def ready(self, name: str) -> tuple[str, str, str]:
        """Status, reason and message of the condition Ready."""
        conditions = self._get("kustomizations", name).get("status", {}).get("conditions", [])
        found = [c for c in conditions if c["type"] == "Ready"]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        return self.kubectl.get(kind, name, f"--namespace={NAMESPACE}")


@contextmanager
def running(plane: ControlPlane, directory: Path) -> Iterator[Flux]:
    """Install Flux' definitions, and run the two controllers for the time of the block; built where missing."""
    tools.build(tools.FLUX_TOOLS)
    kubectl = Kubectl(plane.kubeconfig)
    for program in tools.FLUX_TOOLS:
        for definition in sorted((tools.TOOLS[program].directory / "crds").glob("*.yaml")):
            kubectl.apply_text(definition.read_text(encoding="utf-8"))
    for crd in _CRDS:
        kubectl.run("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=60s")
    kubectl.run("create", "namespace", NAMESPACE)
    artifacts = free_ports(1)[0]
    storage = directory / "artifacts"
    storage.mkdir()
    with ExitStack() as stack:
        source = [f"--storage-path={storage}", f"--storage-addr=127.0.0.1:{artifacts}"]
        stack.enter_context(_controller(plane, directory, "source-controller", *source,
                                        f"--storage-adv-addr=127.0.0.1:{artifacts}"))  # fmt: skip
        stack.enter_context(_controller(plane, directory, "kustomize-controller", "--requeue-dependency=1s"))
        yield Flux(kubectl)


@contextmanager
def repositories(directory: Path) -> Iterator[str]:
    """Serve the bare repositories of a folder with Git's own program; the address of the folder."""

    class Handler(BaseHTTPRequestHandler):
        """Hands every request to `git http-backend`, as a web server does (RFC 3875)."""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            variables = {
                "GIT_PROJECT_ROOT": str(directory),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            words = ["git", "http-backend"]
            answer = subprocess.run(words, env=os.environ | variables, input=body, check=True, capture_output=True)
            head, _, content = answer.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def repository(served: Path, address: str, name: str) -> Repository:
    """Make an empty repository in a served folder, and a clone of it."""
    bare, clone = served / f"{name}.git", served / name
    git(served, "init", "--quiet", "--bare", "--initial-branch=main", bare.name)
    git(served, "clone", "--quiet", str(bare), str(clone))
    for setting in ("user.name=test", "user.email=test@example.org"):
        git(clone, "config", *setting.split("="))
    return Repository(clone, f"{address}/{bare.name}")


def git(directory: Path, *words: str) -> str:
    """Run git in a folder; what it prints."""
    return subprocess.run(["git", *words], cwd=directory, check=True, capture_output=True, text=True).stdout


@contextmanager
def _controller(plane: ControlPlane, directory: Path, program: str, *words: str) -> Iterator[None]:
    metrics, health = free_ports(2)
    options = (f"--metrics-addr=127.0.0.1:{metrics}", f"--health-addr=127.0.0.1:{health}", "--events-addr=")
    variables = os.environ | {"KUBECONFIG": str(plane.kubeconfig), "RUNTIME_NAMESPACE": NAMESPACE}
    with (directory / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([tools.binary(program), *options, *words], env=variables, stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, f"{program} ended: {(directory / f'{program}.log').read_text()[-3000:]}"
    finally:
        process.kill()
        process.wait()
