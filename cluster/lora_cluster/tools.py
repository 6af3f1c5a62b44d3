"""The programs of the cluster: Go modules pinned in cluster/tools, built once into a cache."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lora_cluster.commands import run
from lora_cluster.errors import ClusterError
from lora_cluster.layout import cache_root
from lora_cluster.locks import exclusive
from lora_cluster.progress import say

SOURCES = Path(__file__).resolve().parents[1] / "tools"
_KUBERNETES = "k8s.io/kubernetes"
_SERVER_VERSION = "k8s.io/component-base/version"
_HELMS_DEFAULT = "helm.sh/helm/v4/pkg/chart/common"


@dataclass(frozen=True)
class Tool:
    """A module pinned in a directory of cluster/tools, and the programs built from it."""

    name: str
    module: str
    programs: Mapping[str, str]  # name in the cache: package
    folder: str = ""  # where it is not the tool's name
    tags: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)  # variable: what is linked in of Kubernetes' version
    charts: Mapping[str, str] = field(default_factory=dict)  # name in the cache: path in the module

    @property
    def source(self) -> Path:
        """The directory with go.mod and go.sum."""
        return SOURCES / (self.folder or self.name)

    @property
    def version(self) -> str:
        """The version of the module that go.mod asks for, without the `v`."""
        return module_version((self.source / "go.mod").read_text(), self.module)

    @property
    def linker_flags(self) -> tuple[str, ...]:
        """Flags that link the version in; without it Helm charts that check the server's refuse to install."""
        if not self.stamps:
            return ()
        version = module_version((self.source / "go.mod").read_text(), _KUBERNETES)
        major, minor, _ = version.split(".", 2)
        values = {"version": version, "major": major, "minor": minor}
        return tuple(f"-X {variable}={stamp.format(**values)}" for variable, stamp in self.stamps.items())

    @property
    def key(self) -> str:
        """The name in the cache: tool, version, and a digest of all that decides what is built."""
        digest = hashlib.sha256()
        for path in sorted(path for path in self.source.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(self.source)).encode() + b"\0" + path.read_bytes())
        digest.update(repr((sorted(self.programs.items()), self.tags, self.linker_flags, self.charts)).encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:10]}"

    @property
    def directory(self) -> Path:
        """The directory of the built programs."""
        return cache_root() / "bin" / self.key


_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
FLUX_TOOLS = ("source-controller", "kustomize-controller")
_FLUX_CRDS = {"crds": "config/crd/bases"}
TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("pause", "", {"pause": "."}),
        Tool("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
        Tool(
            "kubernetes",
            _KUBERNETES,  # not 1.35 or newer: their kubelet refuses cgroup v1
            {program: f"{_KUBERNETES}/cmd/{program}" for program in _KUBERNETES_PROGRAMS},
            tags="providerless",
            stamps={
                f"{_SERVER_VERSION}.gitVersion": "v{version}",
                f"{_SERVER_VERSION}.gitMajor": "{major}",
                f"{_SERVER_VERSION}.gitMinor": "{minor}",
            },
        ),
        # One go.mod with Kubernetes: what these two have in common with it, nearly all, is compiled once.
        Tool(
            "helm",
            "helm.sh/helm/v4",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            folder="kubernetes",
            stamps={f"{_HELMS_DEFAULT}.k8sVersionMajor": "{major}", f"{_HELMS_DEFAULT}.k8sVersionMinor": "{minor}"},
        ),
        Tool("coredns", "github.com/coredns/coredns", {"coredns": "./coredns"}, folder="kubernetes"),
        Tool(
            "kueue",
            "sigs.k8s.io/kueue",
            {"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
            charts={"chart": "charts/kueue"},
        ),
        Tool("kwok", "sigs.k8s.io/kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}),
        Tool(
            "prometheus",
            "github.com/prometheus/prometheus",
            {"promtool": "github.com/prometheus/prometheus/cmd/promtool", "promql": "./promql"},
            tags="remove_all_sd",  # the libraries of twenty clouds
        ),
        *(
            # The controllers of Flux that read a Git repository and apply what is in it; both from one go.mod.
            Tool(name, f"github.com/fluxcd/{name}", {name: f"github.com/fluxcd/{name}"}, "flux", charts=_FLUX_CRDS)
            for name in FLUX_TOOLS
        ),
        # What Flux and Argo CD are made of: the tests ask it how healthy they find an object.
        Tool("judge", "github.com/fluxcd/pkg/runtime", {"judge": "."}),
    )
}
API_SERVER_TOOLS = ("etcd", "kubernetes")
DEFAULT_TOOLS = ("pause", "etcd", "kubernetes", "helm", "coredns")


def module_version(go_mod: str, module: str) -> str:
    """Return the version at which the text of a go.mod requires `module`, without the `v`; `0` for none.

    Raises `ClusterError` when go.mod does not require it.
    """
    if not module:
        return "0"
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ClusterError(f"go.mod does not require {module}")
    return found[1]


def binary(program: str) -> Path:
    """Return the path of a program such as `kubectl`; raises `ClusterError` when it is not built yet."""
    for tool in TOOLS.values():
        if program in tool.programs:
            path = tool.directory / program
            if not path.exists():
                raise ClusterError(
                    f"{program} {tool.version} is not built: run `python -m lora_cluster build {tool.name}`"
                )
            return path
    raise ClusterError(f"{program} is none of the cluster's programs")


def build(names: Iterable[str]) -> None:
    """Build each named tool that is not in the cache yet."""
    for name in names:
        tool = TOOLS[name]
        if tool.directory.exists():
            continue
        with exclusive(tool.directory.parent / ".lock"):
            if not tool.directory.exists():  # another command may just have built it
                _build(tool)


def _build(tool: Tool) -> None:
    """Build in a directory beside the final one and rename it: an interrupted build leaves nothing half."""
    if shutil.which("go") is None:
        raise ClusterError("the cluster is built from source: install Go 1.26 or newer and put `go` on the PATH")
    say(f"building {tool.name} {tool.version} (once; kept in {tool.directory.parent})")
    half = Path(tempfile.mkdtemp(prefix=f".{tool.name}-", dir=tool.directory.parent))
    try:
        output = f"{half}/" if len(tool.programs) > 1 else half / next(iter(tool.programs))
        # Nobody debugs these programs; not writing DWARF saves a sixth of the compiler's time.
        flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
        flags += ["-ldflags", " ".join(("-s -w", *tool.linker_flags))]
        tags = ["-tags", tool.tags] if tool.tags else []
        run(
            ["nice", "-n", "10", "go", "build", *flags, *tags, "-o", output, *tool.programs.values()],
            directory=tool.source,
            # Collecting the garbage of compilers that live for a second takes a quarter of their time.
            environment={**os.environ, "CGO_ENABLED": "0", "GOGC": "off", "GOMEMLIMIT": "2GiB"},
        )
        for name, path in tool.charts.items():
            module = run(["go", "list", "-m", "-f", "{{.Dir}}", tool.module], directory=tool.source).strip()
            shutil.copytree(Path(module) / path, half / name)
        run(["chmod", "-R", "u+w,a+rX", half])
        half.rename(tool.directory)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    say(f"built {tool.name} {tool.version}")
