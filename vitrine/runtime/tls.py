"""The certificates of a program: one folder as cert-manager's secret is mounted, tls.crt, tls.key and ca.crt."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import grpc

from vitrine.runtime.errors import ConfigError
from vitrine.runtime.rereading import Reread

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITY: Final = "ca.crt"

_FIELD: Final = "tls"
_FIRST_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# How gRPC says that there is no connection, that this side refused it, and that the other side ended it.
_NOT_CONNECTED: Final = ("failed to connect to all addresses", "connections to all backends failing")
_OWN_REFUSALS: Final = ("handshake failed", "verification check failed")
_CLOSED: Final = "Socket closed"
# The types of the two ways in which X.509 writes a time (RFC 5280, 4.1.2.5), and the type of the optional version.
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0


@dataclass(frozen=True)
class Pair:
    """A certificate, with those between it and its authority, and its key. `expires_s`: unix time."""

    chain: bytes
    key: bytes = field(repr=False)
    expires_s: float


@dataclass(frozen=True)
class Certificates:
    """`authority`: whom to trust. `pair`: what to show; None = a client that shows nothing."""

    authority: bytes
    pair: Pair | None


@cache
def certificates_in(folder: Path) -> Reread[Certificates]:
    """One reader for all that this process does with a folder. Raises ConfigError (`tls`).

    Without tls.crt and tls.key it is a folder to trust by, enough for a client that no server asks for a certificate.
    """
    files = [folder / CERTIFICATE, folder / KEY, folder / AUTHORITY]
    # Whoever has had a pair goes on with it when it is taken away.
    had_pair = _has_pair(folder)
    return Reread("certificates", files, lambda: _read(folder, had_pair or _has_pair(folder)))


def pair_of(certificates: Reread[Certificates]) -> Pair:
    """What a server shows now. Raises ConfigError (`tls`) if there is none."""
    pair = certificates.current().pair
    if pair is None:
        raise ConfigError(_FIELD, f"a server needs {CERTIFICATE} and {KEY} there too")
    return pair


def channel_credentials(certificates: Certificates) -> grpc.ChannelCredentials:
    """Of a client."""
    pair = certificates.pair
    if pair is None:
        return grpc.ssl_channel_credentials(certificates.authority)
    return grpc.ssl_channel_credentials(certificates.authority, pair.key, pair.chain)


def server_credentials(
    certificates: Reread[Certificates], ask_clients: bool, began: Callable[[], None]
) -> grpc.ServerCredentials:
    """Of a server, that change with the folder. Raises ConfigError (`tls`).

    `ask_clients`: only those with a certificate of the same authority come in. `began`: called at each handshake.
    """
    pair_of(certificates)
    shown = certificates.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        began()
        latest = certificates.current()
        if latest is shown or latest.pair is None:
            return None
        shown = latest
        return _configuration(latest)

    # None = as before, says gRPC; its stubs do not.
    return grpc.dynamic_ssl_server_credentials(_configuration(shown), changed, ask_clients)  # type: ignore[arg-type]


def page_context(folder: Path, ask_clients: bool) -> ssl.SSLContext:
    """Of a server of web pages, that shows what is in the folder at each handshake. Raises ConfigError (`tls`)."""
    certificates = certificates_in(folder)
    pair_of(certificates)
    shown, context = certificates.current(), _context(folder, ask_clients)

    def latest(connection: ssl.SSLObject, host: str | None, first: ssl.SSLContext) -> None:
        nonlocal shown, context
        found = certificates.current()
        if found is not shown:
            # Where it is being replaced once more, the last one that could be read goes on.
            with suppress(ssl.SSLError, OSError):
                shown, context = found, _context(folder, ask_clients)
        connection.context = context

    first = context
    first.sni_callback = latest
    return first


def _context(folder: Path, ask_clients: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / AUTHORITY))
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    context.verify_mode = ssl.CERT_REQUIRED if ask_clients else ssl.CERT_NONE
    return context


def handshake_failure(details: str) -> str:
    """What the words of an UNAVAILABLE call mean if its connection failed at the very start; empty if it did not.

    Whom a server refuses learns no more than that: with TLS 1.3 the client's part of the handshake is done before.
    """
    if not details.startswith(_NOT_CONNECTED):
        return ""
    if any(words in details for words in _OWN_REFUSALS):
        return f"the server's certificate is not trusted, or names another host: {details}"
    if details.endswith(_CLOSED):
        return f"the server ended the connection at once: it wants TLS, or a certificate that it trusts: {details}"
    return ""


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    assert certificates.pair is not None
    shown = [(certificates.pair.key, certificates.pair.chain)]
    return grpc.ssl_server_certificate_configuration(shown, certificates.authority)


def _has_pair(folder: Path) -> bool:
    return any((folder / name).exists() for name in (CERTIFICATE, KEY))


def _read(folder: Path, with_pair: bool) -> Certificates:
    """Raises ConfigError for what gRPC would only say at each handshake, or never."""
    authority = _bytes(folder / AUTHORITY)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(_FIELD, f"{folder / AUTHORITY} holds no certificate in PEM") from error
    return Certificates(authority, _read_pair(folder) if with_pair else None)


def _read_pair(folder: Path) -> Pair:
    chain, key = _bytes(folder / CERTIFICATE), _bytes(folder / KEY)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            folder / CERTIFICATE,
            folder / KEY,
            lambda: "",  # an encrypted key fails, and asks nobody at a terminal
        )
    except ssl.SSLError as error:
        reason = f"{folder / KEY} is not the key in PEM of the certificate in {folder / CERTIFICATE}"
        raise ConfigError(_FIELD, f"{reason} ({error.reason or error})") from error
    except OSError as error:
        raise ConfigError(_FIELD, f"{folder} cannot be read ({error.strerror})") from error
    if (chain, key) != (_bytes(folder / CERTIFICATE), _bytes(folder / KEY)):
        # What was checked is not what was read.
        raise ConfigError(_FIELD, f"{folder} is being written")
    expires_s = expiry_s(chain)
    if expires_s <= time.time():
        raise ConfigError(_FIELD, f"{folder / CERTIFICATE} expired at {datetime.fromtimestamp(expires_s, UTC)}")
    return Pair(chain, key, expires_s)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(_FIELD, f"{file} cannot be read ({error.strerror})") from error


def expiry_s(chain: bytes) -> float:
    """Unix time after which the first certificate of a PEM file is not valid. Raises ConfigError if there is none."""
    first = _FIRST_CERTIFICATE.search(chain.decode("latin-1"))
    if first is None:
        raise ConfigError(_FIELD, f"{CERTIFICATE} has no part BEGIN CERTIFICATE")
    der = ssl.PEM_cert_to_DER_cert(first[0])
    # Certificate > TBSCertificate > [version] serialNumber signature issuer validity (RFC 5280, 4.1)
    _, at, _ = _element(der, 0)
    _, at, _ = _element(der, at)
    kind, _, end = _element(der, at)
    for _ in range(3 if kind == _VERSION else 2):
        _, _, end = _element(der, end)
    _, at, _ = _element(der, end)
    _, _, at = _element(der, at)
    kind, begin, end = _element(der, at)
    written = der[begin:end].decode("ascii")
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(written, form).replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Type, and where the content begins and ends, of the DER element at `at`."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin])
    return der[at], begin, begin + length
