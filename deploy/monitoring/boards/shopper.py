"""Whether shoppers get complete, fresh, fast answers: the one screen to look at first."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.boards.panels import Dashboard, Panel, Query, Step
from deploy.monitoring.boards.promql import of, quantile, rate

_SECONDS: Final = "vitrine_gateway_answer_seconds"
_WHOLE: Final = rate("vitrine_gateway_answers_total", 'outcome="complete"', by="namespace", window="5m")
_ANSWERS: Final = rate("vitrine_gateway_answers_total", by="namespace", window="5m")
_QUICK: Final = rate(f"{_SECONDS}_bucket", 'le="0.25"', by="namespace", window="5m")
_ALL: Final = rate(f"{_SECONDS}_count", by="namespace", window="5m")

SHOPPER: Final = Dashboard(
    "shopper",
    "Vitrine: what shoppers get",
    "Whether shoppers get complete, fresh, fast answers. Promises: 99.9 % of answers complete, 99 % within 250 ms.",
    [
        Panel(
            "Are answers complete?",
            "Share of answers of the last five minutes with every partition in them. Promise: 99.9 %. Errors that are "
            "the caller's own do not count.",
            [Query(f"min({_WHOLE} / {_ANSWERS})", "complete")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(0.99, "orange"), Step(0.999, "green")],
            none="no traffic",
        ),
        Panel(
            "Are answers fast?",
            "Share of answers of the last five minutes within 250 ms, measured at the gateway. Promise: 99 %.",
            [Query(f"min({_QUICK} / {_ALL})", "within 250 ms")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(0.95, "orange"), Step(0.99, "green")],
            none="no traffic",
        ),
        Panel(
            "How old may what they find be?",
            "Age of the oldest partition that a searcher serves: everything that was in the log before can be found. "
            "Up to 15 s is normal where nothing changes: an idle partition says so every 10 s.",
            [Query(f"time() - min({of('vitrine_searcher_index_time_seconds')})", "oldest partition")],
            "s",
            "stat",
            width=6,
            height=4,
            steps=[Step(60, "orange"), Step(600, "red")],
            none="no searcher",
        ),
        Panel(
            "Is recall kept?",
            "Lowest mean recall@10 of a partition, from real queries that were searched again exactly. "
            "Promise: what the index is set to, 0.99 unless told otherwise.",
            [Query(f"min({of('vitrine_searcher_probed_recall_ratio')})", "recall@10")],
            "percentunit",
            "stat",
            width=6,
            height=4,
            base="red",
            steps=[Step(0.98, "orange"), Step(0.99, "green")],
            none="not probed yet",
        ),
        Panel(
            "How many answers a second, and which are not complete?",
            "Partial: at least one partition is missing and the answer says which. Failed: no answer, and not by the "
            "caller's fault.",
            [Query(rate("vitrine_gateway_answers_total", by="outcome"), "{{outcome}}")],
            "reqps",
            minimum=0,
            stacked=True,
            colours={"complete": "green", "partial": "orange", "failed": "red"},
        ),
        Panel(
            "How long do answers take?",
            "Searches, recommendations and looks; not those that wait for events. Line: the promise for 99 %.",
            [Query(quantile(share, _SECONDS), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))],
            "s",
            minimum=0,
            steps=[Step(0.25, "red")],
        ),
        Panel(
            "How fast is the error budget spent?",
            "1: exactly what the promise allows for 30 days. Over an hour, 14.4 pages within minutes, 6 within hours.",
            [
                Query(f"max({of('vitrine:answers_bad:ratio_rate1h')}) / 0.001", "not complete"),
                Query(f"max({of('vitrine:answers_slow:ratio_rate1h')}) / 0.01", "slow"),
            ],
            "short",
            minimum=0,
            steps=[Step(6, "orange"), Step(14.4, "red")],
        ),
        Panel(
            "How long until a change can be found?",
            "From an event's append to the log to the first answer that can hold it. About 1.2 s is the promise.",
            [
                Query(quantile(share, "vitrine_searcher_freshness_seconds"), name)
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            "s",
            minimum=0,
        ),
        Panel(
            "Which partitions are missing from answers?",
            "Partitions that did not answer, a second: each makes one answer partial. Nothing is normal.",
            [
                Query(
                    rate("vitrine_gateway_partition_failures_total", by="namespace, partition"),
                    "partition {{partition}} {{namespace}}",
                )
            ],
            "reqps",
            minimum=0,
            none="none is missing",
        ),
        Panel(
            "Do shoppers click what they are shown?",
            "Clicks for each answer shown on a page that reports them. A sudden fall is how shoppers say that "
            "answers are no good.",
            [
                Query(
                    f"{rate('vitrine_gateway_click_rank_count', by='surface')} / "
                    f"{rate('vitrine_gateway_answers_shown_total', by='surface')}",
                    "{{surface}}",
                )
            ],
            "percentunit",
            minimum=0,
            none="no page reports clicks",
        ),
    ],
)
