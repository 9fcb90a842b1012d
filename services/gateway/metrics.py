"""What a gateway reports."""

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import SECONDS_BUCKETS

PARTIAL = Counter("vitrine_gateway_partial_answers", "Answers that lack at least one partition")
ANSWERS = Counter(
    "vitrine_gateway_answers",
    "Answers to shoppers: complete, partial (without a partition), failed (none came, and not by the caller's fault)",
    ["outcome"],
)
ANSWER_SECONDS = Histogram(
    "vitrine_gateway_answer_seconds",
    "Time to answer a search, a recommendation or a look; not of those that wait for events, nor of batches",
    buckets=SECONDS_BUCKETS,
)
PARTITION_FAILURES = Counter("vitrine_gateway_partition_failures", "Partitions that did not answer", ["partition"])
REPLICAS_UP = Gauge("vitrine_gateway_replicas_up", "Searchers that answer status calls")
LOOKUPS_FAILED = Counter(
    "vitrine_gateway_lookups_failed", "Lookups of a group's name that failed: its searchers as known stay", ["name"]
)
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
COMPARED = Counter("vitrine_gateway_compared_products", "Products that looked for near-duplicates")
FEEDBACK = Counter("vitrine_gateway_feedback", "What shoppers did with answers", ["surface", "kind"])
ANSWERS_SHOWN = Counter("vitrine_gateway_answers_shown", "Answers to requests that name a surface", ["surface"])
# Over answers shown, le="k" is click-through@k.
CLICK_RANK = Histogram(
    "vitrine_gateway_click_rank", "Place of what was clicked", ["surface"], buckets=(1, 3, 5, 10, 20, 50, 100)
)
IMPRESSIONS_LOST = Counter("vitrine_gateway_impressions_lost", "Answers shown that the feedback topic lacks")
FEEDBACK_APPEND_SECONDS = Histogram(
    "vitrine_gateway_feedback_append_seconds", "Time to append a batch of feedback", buckets=SECONDS_BUCKETS
)
HEDGES_SENT = Counter("vitrine_gateway_hedges_sent", "Calls sent to a second searcher because the first was late")
HEDGES_WON = Counter("vitrine_gateway_hedges_won", "Those that the second searcher answered first")
EJECTIONS = Counter("vitrine_gateway_ejections", "Times that a searcher was left alone because it failed in a row")
OWN_SECONDS = Histogram(
    "vitrine_gateway_own_seconds",
    "Time of a call without what it waited for other services",
    ["method"],
    buckets=(
        *(0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0008, 0.001, 0.0015, 0.002),
        *(0.005, 0.01, 0.05, 0.25),
    ),
)
EMBEDDINGS_LOOKED_UP = Counter(
    "vitrine_gateway_embeddings_looked_up",
    "Pictures: kept (hit), being embedded for another (joined), or not (miss)",
    ["result"],
)
EMBEDDING_CACHE_BYTES = Gauge("vitrine_gateway_embedding_cache_bytes", "Size of the embeddings kept")
CALLS_BY_CALLER = Counter(
    "vitrine_gateway_calls_by_caller",
    "Calls, and whether they were let in, over a limit, or refused",
    ["caller", "outcome"],
)
WORK_IN_FLIGHT = Gauge("vitrine_gateway_work_in_flight", "Cost of the calls being answered; a plain search costs 1")
WORK_LIMIT = Gauge("vitrine_gateway_work_limit", "What it may be; newer calls are refused")
