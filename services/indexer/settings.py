"""What an indexer can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from vitrine.index.cache import DEFAULT_CACHE_BYTES
from vitrine.index.settings import DEFAULT_INDEX, DEFAULT_RETENTION, RETENTION_PATTERN, seconds_of
from vitrine.runtime.settings import TokensFile
from vitrine.shards.metric import ANGULAR, METRICS
from vitrine.stream.opening import StreamSettings, group_of


class IndexerSettings(StreamSettings):
    model_config = SettingsConfigDict(env_prefix="VITRINE_INDEXER_")

    store: Annotated[str, Field(description="where the index lies: a folder, s3://, gs:// or az://")]
    embedder: Annotated[str, Field(description="host:port")]
    tokens: TokensFile = None
    index: str = DEFAULT_INDEX
    retention: Annotated[
        str, Field(pattern=RETENTION_PATTERN, description="how long after its event_time a product is found")
    ] = DEFAULT_RETENTION
    recall_target: Annotated[float, Field(ge=0.5, lt=1, description="recall that trees are measured to reach")] = 0.99
    metric: Annotated[str, Field(pattern=f"^({'|'.join(METRICS)})$", description="how vectors are compared")] = ANGULAR
    cache: Annotated[Path, Field(description="folder for shards of a remote store")] = Path("run/cache")
    cache_bytes: Annotated[int, Field(ge=0, description="most that copied shards may take there; 0 = no bound")] = (
        DEFAULT_CACHE_BYTES
    )

    kafka_group: Annotated[
        str, Field(description="consumer group of this index's indexers; empty = vitrine-indexer-INDEX")
    ] = ""
    kafka_group_instance_id: Annotated[
        str, Field(description="this member's name across restarts, the pod's: a restart then moves no partition")
    ] = ""
    kafka_session_timeout_s: Annotated[
        float, Field(ge=1, description="an indexer silent for longer loses its partitions")
    ] = 30.0
    stall_s: Annotated[
        float, Field(gt=0, description="a consumer that stands still for longer though the log grows is made anew")
    ] = 60.0

    commit_interval_s: Annotated[float, Field(gt=0, description="longest time an embedded event waits")] = 1.0
    heartbeat_s: Annotated[float, Field(gt=0, description="how often an idle partition says it is up to date")] = 10.0
    batch_events: Annotated[int, Field(ge=1, description="events read at a time")] = 256
    embed_calls: Annotated[int, Field(ge=1, description="calls to the embedder under way at once")] = 4
    embed_call_images: Annotated[int, Field(ge=1, le=64)] = 32

    roll_rows: Annotated[int, Field(ge=1, description="fresh rows that make a rolled shard")] = 8192
    roll_idle_rows: Annotated[int, Field(ge=1, description="fresh rows that do when nothing comes")] = 1024
    roll_idle_s: Annotated[float, Field(gt=0)] = 5.0
    roll_age_s: Annotated[float, Field(gt=0, description="age at which any fresh shard is rolled")] = 600.0

    survey_interval_s: Annotated[float, Field(gt=0, description="how often dead rows are counted")] = 30.0
    collect_interval_s: Annotated[float, Field(gt=0, description="how often what is not needed is removed")] = 600.0

    uri_allow: Annotated[
        tuple[str, ...], Field(description="prefixes of URIs that may be fetched; none = no URI is")
    ] = ()
    uri_allow_private: Annotated[bool, Field(description="allow URIs on private addresses")] = False
    uri_timeout_s: Annotated[float, Field(gt=0)] = 10.0

    @property
    def group(self) -> str:
        """Two indexes in one group would get half of the catalogue each."""
        return self.kafka_group or group_of(self.index)

    @property
    def retention_s(self) -> float:
        """0: for ever."""
        return seconds_of(self.retention)
