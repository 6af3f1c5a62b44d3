"""The cluster's own certificate authority and the kubeconfigs made with it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

_ORGANIZATION = "lora-cluster"


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose key and certificate are `ca.key` and `ca.crt` in `directory`."""

    directory: Path
    ca: trustme.CA

    @classmethod
    def create(cls, directory: Path) -> "Authority":
        """Make a new authority in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        ca = trustme.CA(organization_name=_ORGANIZATION)
        _write(directory / "ca", ca.private_key_pem, ca.cert_pem)
        return cls(directory, ca)

    @classmethod
    def load(cls, directory: Path) -> "Authority":
        """Read the authority that `create` made in `directory`."""
        certificate, key = (directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes()
        return cls(directory, trustme.CA.from_pem(certificate, key))

    def issue(
        self, file_name: str, common_name: str, *, organization: str = _ORGANIZATION, hosts: Sequence[str] = ()
    ) -> None:
        """Write `<file_name>.key` and `.crt`; common name is Kubernetes' user, organization its group.

        `hosts`: the names and addresses under which a server is asked for.
        """
        # A certificate without any name of a host would have an empty, critical extension, which Go refuses.
        leaf = self.ca.issue_cert(*(hosts or [file_name]), common_name=common_name, organization_name=organization)
        _write(self.directory / file_name, leaf.private_key_pem, leaf.cert_chain_pems[0])

    def write_kubeconfig(self, path: Path, *, server: str, user: str, organization: str = _ORGANIZATION) -> None:
        """Write a kubeconfig, readable by its owner only, that needs no other file."""
        self.issue(path.stem, user, organization=organization)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(
            kubeconfig(
                server=server,
                authority=(self.directory / "ca.crt").read_bytes(),
                certificate=(self.directory / f"{path.stem}.crt").read_bytes(),
                key=(self.directory / f"{path.stem}.key").read_bytes(),
            )
        )


def kubeconfig(*, server: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """Return a kubeconfig with one cluster, one user and one context; JSON is YAML too."""

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    cluster = {"server": server, "certificate-authority-data": encoded(authority)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lora", "cluster": cluster}],
            "users": [{"name": "lora", "user": user}],
            "contexts": [{"name": "lora", "context": {"cluster": "lora", "user": "lora"}}],
            "current-context": "lora",
        },
        indent=2,
    )


def _write(stem: Path, key: trustme.Blob, certificate: trustme.Blob) -> None:
    key_file = stem.with_name(f"{stem.name}.key")
    key_file.touch(mode=0o600)
    key.write_to_path(key_file)
    certificate.write_to_path(stem.with_name(f"{stem.name}.crt"))
