"""What a gateway can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.gateway.admission import DEFAULT_BOUND
from services.gateway.embedding_cache import DEFAULT_BOUND_BYTES, DEFAULT_TTL_S
from services.gateway.fanout import HEDGE_SHARE
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.settings import TokensFile
from vitrine.stream.opening import StreamSettings


class GatewaySettings(StreamSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_GATEWAY_")

    store: Annotated[str, Field(description="where the index lies: a folder, s3://, gs:// or az://")]
    embedder: Annotated[str, Field(description="host:port")]
    topology: Annotated[Path, Field(description="JSON file: which searchers serve which partitions; reloaded")]
    tokens: TokensFile = None
    index: str = DEFAULT_INDEX
    default_timeout_s: Annotated[float, Field(gt=0, description="for callers that set no deadline")] = 10.0
    status_interval_s: Annotated[float, Field(gt=0, description="how often searchers are asked how they are")] = 1.0
    coalesced_queries: Annotated[
        int, Field(ge=1, le=64, description="most plain queries that travel to a searcher in one call")
    ] = 32
    coalesced_calls: Annotated[
        int, Field(ge=1, le=64, description="such calls under way to one searcher before queries wait for each other")
    ] = 1
    affinity: Annotated[
        Path | None, Field(description="what `vitrine train-affinity` has learned; without it, colour and look tell")
    ] = None
    hedge_share: Annotated[
        float,
        Field(ge=0, le=0.5, description="calls that may be sent to a second searcher when the first is late, of all"),
    ] = HEDGE_SHARE
    in_flight_cost: Annotated[
        float, Field(ge=1, description="most that is answered at once, in costs of a plain search; more is refused")
    ] = DEFAULT_BOUND
    caller_limits: Annotated[
        dict[str, float],
        Field(description='JSON: searches a second by the name in metadata vitrine-caller; "*": each of the others'),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    embedding_cache_bytes: Annotated[
        int, Field(ge=0, description="most that embeddings of pictures asked for lately may take; 0 = none are kept")
    ] = DEFAULT_BOUND_BYTES
    embedding_cache_s: Annotated[float, Field(gt=0, description="how long one is kept")] = DEFAULT_TTL_S
    scans: Annotated[int, Field(ge=1, le=64, description="scans answered at once; more are refused")] = 2
