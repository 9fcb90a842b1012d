"""vitrine bench metrics: each metric's recall, cost and label precision, on the same vectors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from vitrine.cli import commands, console
from vitrine.cli.bench.built import Wanted, build
from vitrine.cli.bench.core import Core
from vitrine.cli.bench.gateway_load import K, answers, loaded, requests_of
from vitrine.cli.bench.machine import machine
from vitrine.cli.bench.results import Out, say
from vitrine.cli.bench.served import served
from vitrine.cli.bench.truth import exact_best, recall
from vitrine.cli.bench.vector_set import VectorSet
from vitrine.shards.metric import METRICS
from vitrine.shards.selection import Rows
from vitrine.vectors import Vectors

QUERIES: Final = 1_000
LABELS: Final = {"subcategory": "category", "article_type": "article_type"}
BATCH: Final = 32
_CALLS: Final = 2_000
_SEED: Final = 17


def bench_metrics(
    vectors: Annotated[Path, typer.Option(help="folder that `vitrine bench vectors` has written")],
    rows: Annotated[int, typer.Option(min=1_000, help="rows indexed")] = 39_507,
    model: Annotated[Path, typer.Option(help="model folder")] = commands.DEFAULT_MODEL,
    out: Out = None,
) -> None:
    """Angular, euclidean, manhattan, hamming: build, size, recall, cost, and how often the labels agree."""
    source = VectorSet.open(vectors, rows)
    with tempfile.TemporaryDirectory(prefix="metrics-", dir=vectors) as name:
        found = {metric: _measured(vectors, source, metric, model, Path(name) / metric) for metric in METRICS}
    fields = {
        "bench": "metrics",
        "rows": rows,
        "metrics": found,
        "load": {"k": K, "queries": QUERIES, "calls": _CALLS, "rounds": "median of 3"},
        "machine": machine(),
    }
    say(fields, out)


def label_precision(source: VectorSet, found: list[Rows], label: str) -> float:
    """Share of the first ten, views of the query's own picture left out, that have the query's label.

    `found`: of each of the first queries, rows, best first. Queries without the label do not count.
    """
    of_rows = source.labels[label].to_numpy()
    of_queries = source.query_labels[label].to_numpy()
    shares = []
    for number, rows in enumerate(found):
        if of_queries[number] is not None:
            others = rows[source.pictures[rows] != source.query_pictures[number]][:K]
            shares.append(float(np.mean(of_rows[others] == of_queries[number])))
    return round(float(np.mean(shares)), 4)


def _measured(vectors: Path, source: VectorSet, metric: str, model: Path, folder: Path) -> dict[str, Any]:
    console.err.print(f"{metric} …")
    built = build(Wanted(vectors, source.rows, metric=metric), folder)
    held_out, moved = source.queries[:QUERIES], source.moved(QUERIES, _SEED)
    core = Core(built.snapshot())
    # Each picture may have so many views that all of the best ten are left out.
    views = int(np.bincount(source.pictures).max())
    best = source.rows_of(core.found(held_out, K + views))
    with served(folder, model) as stack:
        gateway = loaded(stack, requests_of(held_out), 1, _CALLS)
        recall_held_out = _recall(source, metric, held_out, answers(stack.gateway, held_out))
        recall_moved = _recall(source, metric, moved, answers(stack.gateway, moved))
    return {
        **built.fields(),
        "built_recall_at_10": min(facts.plan.recall_at(K) for facts in built.facts),
        "recall_at_10": recall_held_out,
        "recall_at_10_moved": recall_moved,
        "core_us": core.query_us(held_out, K),
        f"core_us_in_batches_of_{BATCH}": core.query_us(held_out, K, batch=BATCH),
        "gateway": gateway,
        "label_precision_at_10": {name: label_precision(source, best, label) for name, label in LABELS.items()},
    }


def _recall(source: VectorSet, metric: str, queries: Vectors, found: list[list[str]]) -> float:
    truth = exact_best(source.vectors, queries, K, metric)
    return recall(truth, source.rows_of(found), source.vectors, queries)
