"""What an indexer reports."""

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import begin_at_zero

EVENTS = Counter("vitrine_indexer_events", "Events published", ["partition", "kind"])
DEAD_LETTERS = Counter("vitrine_indexer_dead_letters", "Events refused, wholly or in part", ["partition"])
IMAGES = Counter("vitrine_indexer_embedded_images", "Images embedded")
SAVED = Counter(
    "vitrine_indexer_saved_embeddings",
    "Events and images that needed no GPU: live (a live update), unchanged (known by its hash, not even fetched), "
    "same_bytes (fetched, and the same as before)",
    ["reason"],
)
for _reason in ("live", "unchanged", "same_bytes"):
    begin_at_zero(SAVED, _reason)
SUPERSEDED = Counter(
    "vitrine_indexer_superseded_events", "Events published again that came after newer ones", ["partition"]
)
NEXT_OFFSET = Gauge("vitrine_indexer_next_offset", "First log offset not published yet", ["partition", "stream"])
LAG = Gauge("vitrine_indexer_lag_events", "Events in the log that are not published yet", ["partition", "stream"])
SYNCED = Gauge(
    "vitrine_indexer_synced_seconds", "When the index last had all of the log, seconds since 1970", ["partition"]
)
DELETE_RETENTION = Gauge(
    "vitrine_indexer_delete_retention_seconds",
    "For how long the log keeps deletes: an index that is behind by more halts. +Inf: for ever",
)
STALLS = Counter(
    "vitrine_indexer_consumer_stalls",
    "Consumers that stood still though the log grew, and were made anew",
    ["partition"],
)
RUNNING = Gauge(
    "vitrine_indexer_partition_running", "1 while the partition is owned and moves, 0 if halted", ["partition"]
)
WAITING = Gauge(
    "vitrine_indexer_waiting", "1 while the offset is held because something outside is away", ["partition"]
)
PAUSED = Gauge("vitrine_indexer_partition_paused", "1 while the partition is paused after a rollback", ["partition"])
COMMIT_SECONDS = Histogram(
    "vitrine_indexer_commit_seconds",
    "Time to build and publish a fresh shard",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
COMMITS_FAILED = Counter("vitrine_indexer_failed_commits", "Commits to be tried again", ["partition"])
FRESHNESS_SECONDS = Histogram(
    "vitrine_indexer_freshness_seconds",
    "Time from an event's append to the manifest that holds it",
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60),
)
ROLLS = Counter("vitrine_indexer_rolls", "Rolled shards published", ["kind"])
FAILED_ROLLS = Counter("vitrine_indexer_failed_rolls", "Rolls and compactions to be tried again", ["partition"])
UNREADABLE = Gauge("vitrine_indexer_unreadable_shards", "Shards of the manifest that cannot be opened", ["partition"])
COLLECTED = Counter("vitrine_indexer_collected", "Manifests and shards removed because nothing needs them", ["kind"])
ROLL_SECONDS = Histogram(
    "vitrine_indexer_roll_seconds", "Time to build a rolled shard", buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
