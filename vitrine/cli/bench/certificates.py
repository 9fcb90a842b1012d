"""An authority that certifies servers and clients of this machine, for measurements and tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOUR_S: Final = 3600.0
_DAY: Final = timedelta(days=1)


class Authority:
    """Whom servers and clients trust. `pem`: its certificate."""

    def __init__(self, name: str = "vitrine") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _validity(_certificate(self._name, self._name, self._key), 30 * 24 * HOUR_S)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self, folder: Path, valid_s: float = HOUR_S, hosts: Sequence[str] = ("localhost",), trust: bytes = b""
    ) -> Path:
        """Writes tls.crt (which names 127.0.0.1 and `hosts`), tls.key and ca.crt. Returns the folder.

        `valid_s` from now on; below 0, it has expired. `trust`: PEM of whom to trust instead of this authority.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, hosts)]
        builder = _validity(_certificate(_named("a service"), self._name, key), valid_s)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.crt").write_bytes(trust or self.pem)
        (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "tls.crt").write_bytes(certificate)
        return folder


class Secret:
    """A folder of files as Kubernetes mounts a secret: `folder` leads by links to a version, and is turned at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._versions = 0

    def version(self) -> Path:
        """A new empty version, to be written and then shown."""
        self._versions += 1
        return self.folder / f"..version{self._versions}"

    def show(self, version: Path) -> None:
        """The files of `version`, from one moment to the next."""
        turned = self.folder / "..turned"
        turned.symlink_to(version.name)
        turned.rename(self.folder / "..data")
        for file in version.iterdir():
            link = self.folder / file.name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / file.name)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number())


def _validity(builder: x509.CertificateBuilder, valid_s: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return builder.not_valid_before(now - _DAY).not_valid_after(now + timedelta(seconds=valid_s))
