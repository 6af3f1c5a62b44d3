"""The Debian packages a node is made of."""

import os
import shutil
import subprocess

from lora_cluster.commands import run
from lora_cluster.errors import ClusterError
from lora_cluster.progress import say

PACKAGES = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "conntrack",
    "iproute2",
    "openssl",
    "buildah",
    "mmdebstrap",
)
# Another apt-get may be at work: wait for it.
_APT_GET = ("apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300")


def missing(packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Return the packages that are not installed."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # unknown packages make it fail, and are just what is looked for
    ).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def ensure() -> None:
    """Install what is missing; the package lists are renewed only when they do not know a package."""
    if shutil.which("dpkg-query") is None:
        raise ClusterError(f"this tool needs Debian or Ubuntu with the packages: {' '.join(PACKAGES)}")
    wanted = missing()
    if not wanted:
        return
    say(f"installing Debian packages: {' '.join(wanted)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [*_APT_GET, "install", "--yes", "--no-install-recommends", *wanted]
    try:
        run(install, environment=environment)
    except ClusterError:
        run([*_APT_GET, "update"], environment=environment)
        run(install, environment=environment)
