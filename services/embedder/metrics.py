"""What an embedder reports."""

from prometheus_client import Counter, Gauge, Histogram

from vitrine.runtime.metrics import SECONDS_BUCKETS

QUEUED = Gauge("vitrine_embedder_queued_images", "Images admitted and not answered yet", ["priority"])
REFUSED = Counter("vitrine_embedder_refused_images", "Images refused because the queue was full", ["priority"])
BAD = Counter("vitrine_embedder_bad_images", "Images that are no acceptable picture", ["priority"])
BATCH_IMAGES = Histogram(
    "vitrine_embedder_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BATCH_SECONDS = Histogram("vitrine_embedder_batch_seconds", "Time the model takes for a batch", buckets=SECONDS_BUCKETS)
DECODE_SECONDS = Histogram("vitrine_embedder_decode_seconds", "Time to decode one image", buckets=SECONDS_BUCKETS)
LOOKED_FOR = Counter(
    "vitrine_embedder_products_looked_for", "Pictures in which the product was looked for (crop AUTO)", ["found"]
)
BUSY = Gauge(
    "vitrine_embedder_busy_ratio",
    "Share of its threads that decode or run the model, an exponential mean over 15 seconds",
)
PROVIDER = Gauge(
    "vitrine_embedder_provider_info", "1 for the execution provider that is active", ["provider", "variant"]
)
ON_WANTED_PROVIDER = Gauge(
    "vitrine_embedder_on_wanted_provider",
    "1 while the execution provider that is active is the first of the settings, 0 if it is one to fall back on",
)
