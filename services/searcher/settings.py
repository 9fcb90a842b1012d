"""What a searcher can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.index.cache import DEFAULT_CACHE_BYTES
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.settings import ServerSettings


class SearcherSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_SEARCHER_")

    store: Annotated[str, Field(description="where the index lies: a folder, s3://, gs:// or az://")]
    index: str = DEFAULT_INDEX
    partitions: Annotated[tuple[int, ...], Field(description="partitions served here; none named = all")] = ()
    cache: Annotated[Path, Field(description="folder for shards of a remote store")] = Path("run/cache")
    cache_bytes: Annotated[
        int, Field(ge=0, description="most that copied shards may take there, but for those in use; 0 = no bound")
    ] = DEFAULT_CACHE_BYTES
    probe_interval_s: Annotated[float, Field(gt=0, description="how often the next manifest is looked for")] = 0.2
    list_interval_s: Annotated[float, Field(gt=0, description="how often manifests are listed")] = 30.0
    threads: Annotated[
        int, Field(ge=0, description="search threads; 0 = half the cores, since calls need the others")
    ] = 0
