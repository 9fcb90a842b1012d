"""What a searcher can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.index.cache import DEFAULT_CACHE_BYTES
from vitrine.index.settings import DEFAULT_INDEX
from vitrine.runtime.cores import usable_cores
from vitrine.runtime.settings import GrpcSettings
from vitrine.shards.masks import BOUND_BYTES


class SearcherSettings(GrpcSettings):
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
        int, Field(ge=0, description="threads of each worker for searches that are not quick; 0 = half its cores")
    ] = 0
    workers: Annotated[
        int,
        Field(ge=1, le=64, description="processes; worker i has gRPC on port + i and HTTP on http_port + 1 + i"),
    ] = 1
    scans: Annotated[int, Field(ge=1, description="exhaustive searches at once, in each worker")] = 2
    mask_cache_bytes: Annotated[int, Field(ge=0, description="most that kept masks of filters may take")] = BOUND_BYTES
    probe_recall_interval_s: Annotated[
        float, Field(ge=0, description="how often a sampled real query is searched again exactly; 0 = never")
    ] = 10.0

    @property
    def search_threads(self) -> int:
        """Threads that each worker has for searches that are not quick."""
        return self.threads or max(1, usable_cores() // (2 * self.workers))
