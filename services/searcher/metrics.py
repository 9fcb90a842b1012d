"""What a searcher reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import SECONDS_BUCKETS
from vitrine.runtime.summed import GaugeRule

VERSION = Gauge("vitrine_searcher_manifest_version", "Manifest being searched", ["partition"])
ROWS_LIVE = Gauge("vitrine_searcher_live_rows", "Rows that can be answered", ["partition"])
SHARDS = Gauge("vitrine_searcher_shards", "Shards being searched", ["partition", "kind"])
INDEX_AGE = Gauge("vitrine_searcher_index_time_seconds", "Log time indexed, seconds since 1970", ["partition"])
SWAP_SECONDS = Histogram(
    "vitrine_searcher_swap_seconds", "Time from seeing a manifest to serving it", buckets=SECONDS_BUCKETS
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

RECALL_TARGET = Gauge("vitrine_searcher_recall_target_ratio", "Recall that the index is to reach")
BUILT_RECALL = Gauge(
    "vitrine_searcher_built_recall_ratio", "Lowest recall@k measured when its trees were built", ["partition", "k"]
)
SHARDS_BELOW_TARGET = Gauge(
    "vitrine_searcher_shards_below_target",
    "Shards too big to be searched exactly whose calibration missed the recall target",
    ["partition"],
)
PROBED_RECALL = Gauge(
    "vitrine_searcher_probed_recall_ratio",
    "Mean recall@10 of the last sampled real queries, searched again exactly",
    ["partition"],
)
PROBED_QUERIES = Counter("vitrine_searcher_probed_queries", "Queries whose recall was measured", ["partition"])

SEARCH_SECONDS = Histogram(
    "vitrine_searcher_search_seconds", "Time in the index for one call", ["turn"], buckets=SECONDS_BUCKETS
)
BATCH_QUERIES = Histogram(
    "vitrine_searcher_batch_queries", "Queries a call", buckets=(1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
)
SEARCHES = Counter(
    "vitrine_searcher_shard_searches", "Searches of a shard (or all fresh ones of a partition) for a query", ["method"]
)
FALLBACKS = Counter("vitrine_searcher_fallbacks", "Those of which a cheaper way had found too few products")
MASKS = Counter("vitrine_searcher_masks", "Masks that filters needed: made, or at hand", ["cached"])
MASK_CACHE_BYTES = Gauge("vitrine_searcher_mask_cache_bytes", "Size of the masks kept")
SCANS_RUNNING = Gauge("vitrine_searcher_scans_running", "Exhaustive searches under way")
SCANS_REFUSED = Counter("vitrine_searcher_scans_refused", "Exhaustive searches refused because others were under way")
SCANNED_ROWS = Counter("vitrine_searcher_scanned_rows", "Rows scored by exhaustive searches")

ACROSS_WORKERS: Final[Mapping[str, GaugeRule]] = {
    "vitrine_searcher_built_recall_ratio": "min",
    "vitrine_searcher_calls_in_flight": "sum",
    # The worker that has not read the new certificate is the one to be warned of.
    "vitrine_searcher_certificate_expires_seconds": "min",
    "vitrine_searcher_index_time_seconds": "min",
    "vitrine_searcher_live_rows": "min",
    "vitrine_searcher_manifest_version": "min",
    "vitrine_searcher_mask_cache_bytes": "sum",
    "vitrine_searcher_probed_recall_ratio": "mean",
    "vitrine_searcher_scans_running": "sum",
}
"""How gauges of several worker processes become one; the others by the highest."""
