"""Settings: flags = `VITRINE_<SERVICE>_<NAME>` in the environment = fields of one frozen class per service."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, EnvSettingsSource, SettingsConfigDict, SettingsError

from vitrine.runtime.errors import ConfigError


class ServerSettings(BaseSettings):
    """What every server can be told. Subclasses add their own and set `env_prefix`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", cli_kebab_case=True, nested_model_default_partial_update=True
    )

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="gRPC port")]
    http_port: Annotated[int, Field(ge=1, le=65535, description="port of /metrics, /livez and /readyz")]
    drain_s: Annotated[float, Field(ge=0, le=600, description="longest time calls under way may take at a stop")] = 15.0
    tls: Annotated[
        Path | None,
        Field(description="folder with tls.crt, tls.key and ca.crt, reread when they change; unset = no TLS"),
    ] = None
    tls_client_certificates: Annotated[
        bool, Field(description="with tls: let in only clients with a certificate of ca.crt")
    ] = True
    parent_pid: Annotated[int, Field(ge=0, description="stop when this process is gone; 0 = run on")] = 0
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


class GrpcSettings(ServerSettings):
    """What a server that speaks gRPC can be told besides."""

    max_connection_age_s: Annotated[
        float,
        Field(
            ge=1,
            le=86_400,
            description="a connection so old takes no new calls: clients look anew which servers there are",
        ),
    ] = 20.0
    leave_s: Annotated[
        float,
        Field(
            ge=0, le=60, description="how long it still answers once it has said that it stops: callers go elsewhere"
        ),
    ] = 1.0


# Of a server with calls that not everybody may make.
TokensFile = Annotated[
    Path | None,
    Field(description="JSON: who may call what, by bearer token, reread when it changes; unset = everybody"),
]

Settings = TypeVar("Settings", bound=BaseSettings)

# As pydantic-settings says that a list or a map is not one.
_UNREAD_FIELD: Final = re.compile(r'error parsing value for field "(\w+)"')


def parse(kind: type[Settings], program: str, arguments: Sequence[str] | None = None) -> Settings:
    """Settings from flags, then the environment, then defaults. Raises ConfigError naming the first bad field."""
    _require_known_variables(kind)
    try:
        source: CliSettingsSource[Settings] = CliSettingsSource(
            kind, cli_prog_name=program, cli_parse_args=list(sys.argv[1:] if arguments is None else arguments)
        )
        return kind(_cli_settings_source=source)  # pydantic-settings' documented way in
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(".".join(str(part) for part in first["loc"]), first["msg"]) from error
    except SettingsError as error:
        unread = _UNREAD_FIELD.search(str(error))
        raise ConfigError(unread[1], "is not JSON") if unread else ConfigError("settings", str(error)) from error


def _require_known_variables(kind: type[Settings]) -> None:
    """A variable with a misspelt name would be a setting that nobody follows. Raises ConfigError naming it."""
    prefix = kind.model_config.get("env_prefix", "").lower()
    known = {f"{prefix}{field}" for field in kind.model_fields}
    for name in sorted(EnvSettingsSource(kind).env_vars):
        if prefix and name.startswith(prefix) and name not in known:
            raise ConfigError(name.upper(), "is in the environment, but there is no such setting")
