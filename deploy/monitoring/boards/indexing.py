"""Whether the catalogue's changes get into the index, and what of them does not."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.boards.panels import Dashboard, Panel, Query, Step
from deploy.monitoring.boards.promql import of, quantile, rate

_BEHIND: Final = (
    f"max((time() - min by (namespace) ({of('vitrine_indexer_synced_seconds')}))"
    f" / min by (namespace) ({of('vitrine_indexer_delete_retention_seconds')}))"
)

INDEXING: Final = Dashboard(
    "indexing",
    "Vitrine: indexing",
    "Whether what the catalogue teams publish gets into the index, how fast, and what is refused.",
    [
        Panel(
            "Does every partition move?",
            "0: one has halted, because going on could lose something. The indexer's log and its /readyz say why.",
            [Query(f"min({of('vitrine_indexer_partition_running')})", "running")],
            "short",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(1, "green")],
            words={0: "one has halted", 1: "all move"},
            none="no indexer",
        ),
        Panel(
            "How much of the log's memory is used up?",
            "How long ago the index last had all of the log, as a share of the time for which the log keeps deletes. "
            "At 100 % deletes may be gone unread and the partition halts. 0 where the log keeps them for ever.",
            [Query(_BEHIND, "behind")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            steps=[Step(0.25, "orange"), Step(0.5, "red")],
            none="no indexer",
        ),
        Panel(
            "Is anything held up?",
            "Partitions whose offset is held because the embedder, the store or an image host is away.",
            [Query(f"sum({of('vitrine_indexer_waiting')})", "waiting")],
            "short",
            "stat",
            width=6,
            height=4,
            steps=[Step(1, "orange")],
            none="no indexer",
        ),
        Panel(
            "How much is still to be indexed?",
            "Events in the log that no manifest holds yet.",
            [Query(f"sum({of('vitrine_indexer_lag_events')})", "events")],
            "short",
            "stat",
            width=6,
            height=4,
            steps=[Step(10_000, "orange"), Step(1_000_000, "red")],
            none="no indexer",
        ),
        Panel(
            "What is indexed?",
            "Events published in manifests, a second, by kind.",
            [Query(rate("vitrine_indexer_events_total", by="kind"), "{{kind}}")],
            "cps",
            minimum=0,
            stacked=True,
        ),
        Panel(
            "What is refused?",
            "Dead letters a second: events that are wrong wholly or in part. `vitrine dlq ls` has the reasons.",
            [
                Query(
                    rate("vitrine_indexer_dead_letters_total", by="namespace, partition"),
                    "partition {{partition}} {{namespace}}",
                )
            ],
            "cps",
            minimum=0,
        ),
        Panel(
            "How far behind is each partition?",
            "Events in the log that are not published yet.",
            [
                Query(
                    f"sum by (namespace, partition, stream) ({of('vitrine_indexer_lag_events')})",
                    "partition {{partition}}, {{stream}} {{namespace}}",
                )
            ],
            "short",
            minimum=0,
        ),
        Panel(
            "How long from the log to the manifest?",
            "From an event's append to the manifest that holds it. A second is normal, more while much is ingested.",
            [
                Query(quantile(share, "vitrine_indexer_freshness_seconds"), name)
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            "s",
            minimum=0,
        ),
        Panel(
            "How long do commits and rolls take?",
            "A commit builds and publishes a fresh shard; a roll builds a tree, beside the commits.",
            [
                Query(quantile(0.99, "vitrine_indexer_commit_seconds"), "commit p99"),
                Query(quantile(0.99, "vitrine_indexer_roll_seconds"), "roll p99"),
            ],
            "s",
            minimum=0,
        ),
        Panel(
            "What needs the model, and what does not?",
            "Images embedded a second, beside events and images that needed no embedding.",
            [
                Query(rate("vitrine_indexer_embedded_images_total"), "embedded"),
                Query(rate("vitrine_indexer_saved_embeddings_total", by="reason"), "saved: {{reason}}"),
            ],
            "cps",
            minimum=0,
        ),
    ],
)
