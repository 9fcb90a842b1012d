"""What the page's server can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.runtime.settings import ServerSettings


class WebSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_WEB_")

    port: Annotated[int, Field(ge=1, le=65535, description="port of the page")]
    gateway: Annotated[str, Field(min_length=1, description="host:port")]
    tls_client_certificates: Annotated[
        bool, Field(description="with tls: let in only browsers with a certificate of ca.crt")
    ] = False
    token_file: Annotated[
        Path | None, Field(description="file with the bearer token for the gateway, reread when it changes")
    ] = None
    index: Annotated[str, Field(description="empty = the gateway's default one")] = ""
    timeout_s: Annotated[float, Field(gt=0, le=120, description="deadline of a call to the gateway")] = 10.0
    upload_bytes: Annotated[
        int, Field(ge=1, le=16 * 1024 * 1024, description="largest picture that may be uploaded")
    ] = 10 * 1024 * 1024
    uploads: Annotated[int, Field(ge=1, le=1024, description="uploads taken in at once; more are refused")] = 16
    upload_timeout_s: Annotated[float, Field(gt=0, le=600, description="longest time an upload may take")] = 30.0
    ops: Annotated[bool, Field(description="serve the page for those who look after the shop")] = True
