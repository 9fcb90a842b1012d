"""What a searcher reports."""

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
