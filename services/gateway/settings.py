"""What a gateway can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.index.settings import DEFAULT_INDEX
from vitrine.stream.opening import StreamSettings


class GatewaySettings(StreamSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_GATEWAY_")

    store: Annotated[str, Field(description="where the index lies: a folder, s3://, gs:// or az://")]
    embedder: Annotated[str, Field(description="host:port")]
    topology: Annotated[Path, Field(description="JSON file: which searchers serve which partitions; reloaded")]
    index: str = DEFAULT_INDEX
    default_timeout_s: Annotated[float, Field(gt=0, description="for callers that set no deadline")] = 10.0
    status_interval_s: Annotated[float, Field(gt=0, description="how often searchers are asked how they are")] = 1.0
    coalesced_queries: Annotated[
        int, Field(ge=1, le=64, description="most plain queries that travel to a searcher in one call")
    ] = 32
    coalesced_calls: Annotated[
        int, Field(ge=1, le=64, description="such calls under way to one searcher before queries wait for each other")
    ] = 1
    scans: Annotated[int, Field(ge=1, le=64, description="scans answered at once; more are refused")] = 2
