"""Settings: flags = `VITRINE_<SERVICE>_<NAME>` in the environment = fields of one frozen class per service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

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
    parent_pid: Annotated[int, Field(ge=0, description="stop when this process is gone; 0 = run on")] = 0
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


Settings = TypeVar("Settings", bound=BaseSettings)


def parse(kind: type[Settings], program: str, arguments: Sequence[str] | None = None) -> Settings:
    """Settings from flags, then the environment, then defaults. Raises ConfigError naming the first bad field."""
    try:
        source: CliSettingsSource[Settings] = CliSettingsSource(
            kind, cli_prog_name=program, cli_parse_args=list(sys.argv[1:] if arguments is None else arguments)
        )
        return kind(_cli_settings_source=source)  # pydantic-settings' documented way in
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(".".join(str(part) for part in first["loc"]), first["msg"]) from error
    except SettingsError as error:
        raise ConfigError("settings", str(error)) from error
