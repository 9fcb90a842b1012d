"""gRPC channels, their options, the same on both ends, and what they show: a certificate, a token."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from vitrine.runtime.errors import ConfigError
from vitrine.runtime.rereading import Reread
from vitrine.runtime.rotating import AsyncRotatingChannel, RotatingChannel
from vitrine.runtime.tls import Certificates, certificates_in, channel_credentials

# A picture may have 16 MiB, 10,000 hits about 5 MiB.
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024

MESSAGE_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
CHANNEL_OPTIONS: Final = (
    *MESSAGE_OPTIONS,
    # A proxy in the environment is for the outside world, never for calls between services.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # One that is back must be found before the next one goes (`leave_s`).
    ("grpc.max_reconnect_backoff_ms", 500),
)
# Of what may stand for several servers: calls go to each in turn, but to none that says it stops, or cannot answer
# yet. New ones behind a name are found soon.
_LISTED: Final = ("ipv4:", "ipv6:")
_SEVERAL: Final = ("dns:", *_LISTED)
_IN_TURN: Final = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
_SEVERAL_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(_IN_TURN)),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)
_TOKEN: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Credentials:
    """What a program shows when it calls, and whom it trusts. Nothing = plain, as on a laptop.

    `name`: whom the server's certificate must name; empty = the host in the address.
    """

    certificates: Reread[Certificates] | None = None
    token: Reread[str] | None = None
    name: str = ""

    @staticmethod
    def of(tls: Path | None, token_file: Path | None = None, name: str = "") -> Credentials:
        """From a folder with ca.crt and perhaps tls.crt and tls.key, and a file with a bearer token.

        Both are read again when they change. Raises ConfigError (`tls`, `token_file`).
        """
        certificates = certificates_in(tls) if tls else None
        if token_file is None:
            return Credentials(certificates, None, name)
        return Credentials(certificates, Reread("token", [token_file], lambda: _token(token_file)), name)


NOTHING: Final = Credentials()


def internal_channel(address: str, credentials: Credentials = NOTHING, name: str = "") -> grpc.aio.Channel:
    """A channel to one of our services at `host:port`, or at all of `dns:///name:port`, `ipv4:host:port,…` in turn.

    `name`: as that of `credentials`, for this address alone.
    """
    options = _options(address, name or credentials.name)
    if credentials == NOTHING:
        return grpc.aio.insecure_channel(address, options=options)

    def opened(certificates: Certificates | None) -> grpc.aio.Channel:
        if certificates is None:
            return grpc.aio.insecure_channel(address, options=options)
        return grpc.aio.secure_channel(address, channel_credentials(certificates), options=options)

    return AsyncRotatingChannel(opened, credentials.certificates, credentials.token)


def blocking_channel(address: str, credentials: Credentials = NOTHING, name: str = "") -> grpc.Channel:
    """The same for threads."""
    options = _options(address, name or credentials.name)
    if credentials == NOTHING:
        return grpc.insecure_channel(address, options=options)

    def opened(certificates: Certificates | None) -> grpc.Channel:
        if certificates is None:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, channel_credentials(certificates), options=options)

    return RotatingChannel(opened, credentials.certificates, credentials.token)


def _options(address: str, name: str) -> Options:
    if address.startswith(_LISTED) and not name:
        # gRPC would look for the whole list, as one name, in the certificate.
        name = address.partition(":")[2].partition(",")[0].rpartition(":")[0]
    balanced = _SEVERAL_OPTIONS if address.startswith(_SEVERAL) else ()
    named = (("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)) if name else ()
    return (*CHANNEL_OPTIONS, *balanced, *named)


def _token(file: Path) -> str:
    try:
        token = file.read_text("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError("token_file", f"{file} cannot be read ({error.strerror})") from error
    if not _TOKEN.fullmatch(token):
        raise ConfigError("token_file", f"{file} does not hold one token of printable ASCII characters without spaces")
    return token
