"""Whether the model runs where it should, and keeps up."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.boards.panels import Dashboard, Panel, Query, Step
from deploy.monitoring.boards.promql import mean, of, quantile, rate

EMBEDDER: Final = Dashboard(
    "embedder",
    "Vitrine: embedder and GPU",
    "Whether the model runs on the processor it is meant for, and keeps up with shoppers and ingests.",
    [
        Panel(
            "Does it run where it should?",
            "0: at least one embedder runs on a provider that its settings only name to fall back on: a CPU, say.",
            [Query(f"min({of('vitrine_embedder_on_wanted_provider')})", "as wanted")],
            "short",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(1, "green")],
            words={0: "one fell back", 1: "all do"},
            none="no embedder",
        ),
        Panel(
            "On what does it run?",
            "Embedders by execution provider and variant of the model.",
            [
                Query(
                    f"count by (provider, variant) ({of('vitrine_embedder_provider_info')})", "{{provider}} {{variant}}"
                )
            ],
            "short",
            "stat",
            width=6,
            height=4,
            none="no embedder",
        ),
        Panel(
            "Is there room?",
            "Mean share of embedders' threads that decode or run the model. Above 80 % shoppers begin to wait.",
            [Query(f"max(avg by (namespace) ({of('vitrine_embedder_busy_ratio')}))", "busy")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            steps=[Step(0.7, "orange"), Step(0.9, "red")],
            none="no embedder",
        ),
        Panel(
            "Is anybody turned away?",
            "Images refused a second because a queue is full. Bulk images come back by themselves; shoppers' do not.",
            [Query(rate("vitrine_embedder_refused_images_total", by="priority", window="5m"), "{{priority}}")],
            "cps",
            "stat",
            width=6,
            height=4,
            steps=[Step(0.01, "red")],
            none="no embedder",
        ),
        Panel(
            "How busy is each embedder?",
            "Share of its threads that decode or run the model, an exponential mean over 15 s. What scales embedders.",
            [Query(f"max by (instance) ({of('vitrine_embedder_busy_ratio')})", "{{instance}}")],
            "percentunit",
            minimum=0,
            maximum=1,
            steps=[Step(0.7, "orange")],
        ),
        Panel(
            "How much waits?",
            "Images admitted and not answered yet.",
            [Query(f"sum by (priority) ({of('vitrine_embedder_queued_images')})", "{{priority}}")],
            "short",
            minimum=0,
        ),
        Panel(
            "How many pictures a second?",
            "That went through the model, and those that were no acceptable picture.",
            [
                Query(rate("vitrine_embedder_batch_images_sum"), "embedded"),
                Query(rate("vitrine_embedder_bad_images_total"), "bad"),
            ],
            "cps",
            minimum=0,
        ),
        Panel(
            "How long does the model take?",
            "For a batch, and to decode one picture, 99th percentile. While shoppers ask, batches stay short.",
            [
                Query(quantile(0.99, "vitrine_embedder_batch_seconds"), "batch"),
                Query(quantile(0.99, "vitrine_embedder_decode_seconds"), "decoding"),
            ],
            "s",
            minimum=0,
        ),
        Panel(
            "How large are batches?",
            "Images a batch, in the mean. Small ones waste a GPU; large ones make shoppers wait.",
            [Query(mean("vitrine_embedder_batch_images"), "images")],
            "short",
            minimum=0,
        ),
        Panel(
            "How long do shoppers wait for a vector?",
            "From the gateway to the embedder and back.",
            [
                Query(quantile(share, "vitrine_gateway_embed_seconds"), name)
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            "s",
            minimum=0,
        ),
    ],
)
