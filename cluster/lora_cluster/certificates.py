"""The cluster's own certificate authority (RFC 5280, keys on P-256) and the kubeconfigs made with it."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_DAYS = 3650


@dataclass(frozen=True)
class Authority:
    """A certificate authority whose key and certificate are `ca.key` and `ca.crt` in `directory`."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, directory: Path) -> "Authority":
        """Make a new authority in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("lora-cluster")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(name, name, key.public_key(), key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(directory / "ca", key, certificate)
        return cls(directory, key, certificate)

    @classmethod
    def load(cls, directory: Path) -> "Authority":
        """Read the authority that `create` made in `directory`."""
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{directory / 'ca.key'} is not a key on an elliptic curve")
        return cls(directory, key, x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes()))

    def issue(
        self,
        file_name: str,
        common_name: str,
        *,
        organization: str = "",
        dns_names: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> None:
        """Write `<file_name>.key` and `.crt`; common name is Kubernetes' user, organization its group."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject, issuer = _name(common_name, organization), self.certificate.subject
        builder = _builder(subject, issuer, key.public_key(), self.key.public_key())
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        _write(self.directory / file_name, key, builder.sign(self.key, hashes.SHA256()))

    def write_kubeconfig(self, path: Path, *, server: str, user: str, organization: str = "") -> None:
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


def _name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        # Python 3.13 and newer refuse certificates without the two.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _write(stem: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    key_file = stem.with_name(f"{stem.name}.key")
    key_file.touch(mode=0o600)
    key_file.write_bytes(private)
    stem.with_name(f"{stem.name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
