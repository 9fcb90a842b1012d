"""What a gateway reports."""

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import SECONDS_BUCKETS

PARTIAL = Counter("vitrine_gateway_partial_answers", "Answers that lack at least one partition")
PARTITION_FAILURES = Counter("vitrine_gateway_partition_failures", "Partitions that did not answer", ["partition"])
REPLICAS_UP = Gauge("vitrine_gateway_replicas_up", "Searchers that answer status calls")
EMBED_SECONDS = Histogram("vitrine_gateway_embed_seconds", "Time to embed a query image", buckets=SECONDS_BUCKETS)
FANOUT_SECONDS = Histogram("vitrine_gateway_fanout_seconds", "Time waiting for searchers", buckets=SECONDS_BUCKETS)
PUBLISHED = Counter("vitrine_gateway_published_events", "Events acknowledged")
REFUSED = Counter("vitrine_gateway_refused_events", "Events answered with an error")
COALESCED = Histogram(
    "vitrine_gateway_coalesced_queries",
    "Plain queries that travelled to a searcher in one call",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
SCANS = Gauge("vitrine_gateway_scans_running", "Scans being answered now")
