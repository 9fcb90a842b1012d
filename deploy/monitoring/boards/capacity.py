"""How full everything is, and what to add before shoppers notice."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.boards.panels import Dashboard, Panel, Query, Step
from deploy.monitoring.boards.promql import of, quantile, rate

JOBS: Final = 'job=~"vitrine-.+"'
_CALLS: Final = "vitrine_gateway_calls_by_caller_total"
_TURNED_AWAY: Final = rate(_CALLS, 'outcome!="let in"', by="caller, outcome")

CAPACITY: Final = Dashboard(
    "capacity",
    "Vitrine: capacity",
    "How full everything is, who asks how much, and what to add before shoppers notice.",
    [
        Panel(
            "Is everybody there?",
            "Share of the programs that Prometheus knows of and that answer it.",
            [Query(f"min(avg by (namespace) ({of('up', JOBS)}))", "up")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(0.75, "orange"), Step(1, "green")],
            none="nobody is scraped",
        ),
        Panel(
            "Do all searchers answer?",
            "Searchers that answer the status calls of the gateway that hears of the fewest.",
            [Query(f"min({of('vitrine_gateway_replicas_up')})", "searchers")],
            "short",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(1, "orange"), Step(2, "green")],
            none="no gateway",
        ),
        Panel(
            "How much of the gateways' room is taken?",
            "Cost of the calls under way, over what may be under way before newer ones are refused.",
            [
                Query(
                    f"max(sum by (namespace) ({of('vitrine_gateway_work_in_flight')})"
                    f" / sum by (namespace) ({of('vitrine_gateway_work_limit')}))",
                    "taken",
                )
            ],
            "percentunit",
            "stat",
            width=6,
            height=4,
            steps=[Step(0.5, "orange"), Step(0.9, "red")],
            none="no gateway",
        ),
        Panel(
            "How much is searched?",
            "Rows that can be answered, each partition counted once.",
            [Query(f"sum(max by (namespace, partition) ({of('vitrine_searcher_live_rows')}))", "rows")],
            "short",
            "stat",
            width=6,
            height=4,
            none="no searcher",
        ),
        Panel(
            "How many cores does each service use?",
            "Over all of its processes. Searchers and embedders are added first.",
            [Query(rate("process_cpu_seconds_total", JOBS, by="job"), "{{job}}")],
            "short",
            minimum=0,
            stacked=True,
        ),
        Panel(
            "How much memory does each service use?",
            "Resident, pages of mapped shards included: these the kernel can drop.",
            [Query(f"sum by (job) ({of('process_resident_memory_bytes', JOBS)})", "{{job}}")],
            "bytes",
            minimum=0,
            stacked=True,
        ),
        Panel(
            "Who asks?",
            "Calls let in, a second, by the name that callers give.",
            [Query(rate(_CALLS, 'outcome="let in"', by="caller"), "{{caller}}")],
            "reqps",
            minimum=0,
            stacked=True,
        ),
        Panel(
            "Who is turned away?",
            "A second. Limited: more than the caller's own share. Refused: more than can be answered.",
            [
                Query(
                    f"{_TURNED_AWAY} > 0",
                    "{{caller}}: {{outcome}}",
                )
            ],
            "reqps",
            minimum=0,
            none="nobody",
        ),
        Panel(
            "How long does the index take?",
            "One call in a searcher, 99th percentile, by whose turn it is: quick ones are answered where they arrive.",
            [Query(quantile(0.99, "vitrine_searcher_search_seconds", by="turn"), "{{turn}}")],
            "s",
            minimum=0,
        ),
        Panel(
            "How many shards does a partition have?",
            "The most of any. Fresh ones, at most 16, are searched exactly until they are rolled into one with a tree; "
            "rolled ones are at most 8.",
            [Query(f"max by (kind) ({of('vitrine_searcher_shards')})", "{{kind}}")],
            "short",
            minimum=0,
        ),
        Panel(
            "How often is the object store asked?",
            "Requests a second, by operation: what the store's bill is made of.",
            [
                Query(
                    f"{rate('vitrine_searcher_store_requests_total', by='operation')} > 0", "searcher: {{operation}}"
                ),
                Query(f"{rate('vitrine_indexer_store_requests_total', by='operation')} > 0", "indexer: {{operation}}"),
            ],
            "reqps",
            minimum=0,
        ),
        Panel(
            "How much does the gateway do itself?",
            "Time of a call without what it waited for others, 99th percentile. It grows when a gateway lacks a core.",
            [Query(quantile(0.99, "vitrine_gateway_own_seconds", by="method"), "{{method}}")],
            "s",
            minimum=0,
        ),
        Panel(
            "How often is a second searcher asked?",
            "Calls a second that were sent twice because the first searcher was late, and those the second one won.",
            [
                Query(rate("vitrine_gateway_hedges_sent_total"), "sent"),
                Query(rate("vitrine_gateway_hedges_won_total"), "won"),
            ],
            "reqps",
            minimum=0,
        ),
    ],
)
