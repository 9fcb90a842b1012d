"""What a searcher reports."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import SECONDS_BUCKETS

VERSION = Gauge("vitrine_searcher_manifest_version", "Manifest being searched", ["partition"])
ROWS_LIVE = Gauge("vitrine_searcher_live_rows", "Rows that can be answered", ["partition"])
SHARDS = Gauge("vitrine_searcher_shards", "Shards being searched", ["partition", "kind"])
INDEX_AGE = Gauge("vitrine_searcher_index_time_seconds", "Log time indexed, seconds since 1970", ["partition"])
RECALL = Gauge(
    "vitrine_searcher_built_recall_ratio", "Lowest recall@10 measured when its trees were built", ["partition"]
)
SWAP_SECONDS = Histogram(
    "vitrine_searcher_swap_seconds", "Time from seeing a manifest to serving it", buckets=SECONDS_BUCKETS
)
SEARCH_SECONDS = Histogram(
    "vitrine_searcher_search_seconds", "Time in the index for one call", ["method"], buckets=SECONDS_BUCKETS
)
REFUSED_SHARDS = Counter(
    "vitrine_searcher_refused_shards", "Shards that failed their checks and were not opened", ["partition"]
)
REFUSED_MANIFESTS = Counter("vitrine_searcher_refused_manifests", "Manifests that failed their checksum", ["partition"])
FROM_CACHE = Gauge(
    "vitrine_searcher_from_cache",
    "1 while a partition is served from this machine's copy, the store not having been read since the start",
    ["partition"],
)
CACHE_BYTES = Gauge("vitrine_searcher_cache_bytes", "Size of the shards copied to this machine")
CACHE_BOUND_BYTES = Gauge("vitrine_searcher_cache_bound_bytes", "What they may take; 0 = no bound")
CACHE_SPARED_BYTES = Gauge(
    "vitrine_searcher_cache_spared_bytes", "Size of those that are in use: where it exceeds the bound, they stay"
)

# Around the promise (1 s to commit, 0.2 s to be seen) fine; beyond it, only how bad it is.
_FRESHNESS_BUCKETS: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0, 60.0)
FRESHNESS_SECONDS = Histogram(
    "vitrine_searcher_freshness_seconds",
    "Time from an event's append to the log to the first answer that can hold it",
    buckets=_FRESHNESS_BUCKETS,
)
