"""What a tree search must spend to keep the recall promise, measured on the shard itself when it is built.

Queries are rows of the shard, half of them moved away to cosine ≈ 0.8 (a shopper's photo is never a catalogue row);
a query's own product does not count. Recall counts products: one is found if its exact score is at least the k-th
exact score less 1e-3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.shards.files import SearchPlan, TreeEffort
from vitrine.shards.scoring import as_float32, best_of_block, product_starts_of
from vitrine.shards.table import ShardTable
from vitrine.shards.tree import Tree
from vitrine.vectors import Vectors, unit

QUERIES: Final = 512
KS: Final = (10, 100)
MOVED_COSINE: Final = 0.8
SCORE_TOLERANCE: Final = 1e-3
# Up to this many rows, scoring all of them (about 4 ms) is better than an answer that breaks the promise.
EXACT_ROWS: Final = 16_384

_Z_95: Final = 1.645  # one-sided
_SEED: Final = 5
_SEARCH_KS: Final = (
    *(250, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000),
    *(12_000, 16_000, 24_000, 32_000, 48_000, 64_000),
)
_RERANKS: Final = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)  # times k, up to _MAX_RERANK
_MAX_RERANK: Final = 4_096
# Re-ranking one candidate (a float16 row gathered, converted, multiplied) costs about as much as inspecting six nodes.
_RERANK_COST: Final = 6


@dataclass(frozen=True)
class _Probe:
    """Calibration queries and the truth about them. `thresholds[k]`: the score that counts as found, shape (q,)."""

    queries: Vectors
    own_products: npt.NDArray[np.int32]
    thresholds: dict[int, npt.NDArray[np.float32]]
    possible: dict[int, npt.NDArray[np.int64]]


def calibrated(
    table: ShardTable, tree: Tree, projection: Vectors, variance: float, trees: int, target: float
) -> SearchPlan:
    """The cheapest measured effort for each k whose lower 95 % bound of recall reaches `target`.

    Where none does: a small shard is searched exactly for that k; a big one with the dearest effort, `reached` False.
    """
    starts = product_starts_of(table.keys, table.rows.column("product_id"))
    product_of_row = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    probe = _probe(table.vectors, starts, product_of_row)
    efforts = tuple(_cheapest(probe, table.vectors, product_of_row, tree, projection, k, target) for k in KS)
    return SearchPlan(
        method="tree",
        efforts=efforts,
        trees=trees,
        projected_dim=projection.shape[1],
        reached=all(effort.recall_lower95 >= target for effort in efforts),
        calibration_queries=len(probe.queries),
        projection_variance=variance,
    )


def moved(vectors: Vectors, cosine: float, rng: np.random.Generator) -> Vectors:
    """Unit vectors at `cosine` to each of the unit `vectors`, shape (n, dim), in random directions."""
    noise = rng.standard_normal(vectors.shape).astype(np.float32)
    noise -= np.sum(noise * vectors, axis=1, keepdims=True) * vectors
    return cosine * vectors + np.float32(np.sqrt(1 - cosine**2)) * unit(noise)


def _probe(vectors: Any, starts: npt.NDArray[np.int64], product_of_row: npt.NDArray[np.int32]) -> _Probe:
    rng = np.random.default_rng(_SEED)
    rows = np.sort(rng.choice(len(vectors), size=min(QUERIES, len(vectors)), replace=False))
    queries = unit(np.asarray(vectors[rows], dtype=np.float32))
    queries[::2] = moved(queries[::2], MOVED_COSINE, rng)
    own = product_of_row[rows]
    bests = best_of_block(vectors, starts, None, queries, max(KS) + 1)
    thresholds = {k: np.empty(len(rows), np.float32) for k in KS}
    possible = {k: np.empty(len(rows), np.int64) for k in KS}
    for number, best in enumerate(bests):
        others = best.scores[product_of_row[best.rows] != own[number]]
        for k in KS:
            possible[k][number] = min(k, len(others))
            thresholds[k][number] = others[possible[k][number] - 1] - SCORE_TOLERANCE
    return _Probe(queries, own, thresholds, possible)


def _cheapest(
    probe: _Probe,
    vectors: Any,
    product_of_row: npt.NDArray[np.int32],
    tree: Tree,
    projection: Vectors,
    k: int,
    target: float,
) -> TreeEffort:
    best: TreeEffort | None = None
    last: TreeEffort | None = None
    for search_k in _search_ks(len(vectors)):
        if best is not None and search_k >= _cost(best):
            break
        for effort in _efforts(probe, vectors, product_of_row, tree, projection, k, search_k):
            last = effort
            if effort.recall_lower95 >= target:
                if best is None or _cost(effort) < _cost(best):
                    best = effort
                break
    if best is None and len(vectors) <= EXACT_ROWS:
        return TreeEffort(k, search_k=0, rerank=0, recall=1.0, recall_lower95=1.0)
    found = best or last
    assert found is not None
    return found


def _efforts(
    probe: _Probe,
    vectors: Any,
    product_of_row: npt.NDArray[np.int32],
    tree: Tree,
    projection: Vectors,
    k: int,
    search_k: int,
) -> Iterator[TreeEffort]:
    """Each number of re-ranked candidates, cheapest first, with the recall it reaches at `search_k`."""
    # At least `search_k` candidates cannot come back from inspecting fewer nodes.
    reranks = [k * times for times in _RERANKS if k * times <= min(_MAX_RERANK, search_k, len(vectors))]
    if not reranks:
        return
    found = np.zeros((len(reranks), len(probe.queries)))
    for number, query in enumerate(probe.queries):
        rows = tree.candidates(query @ projection, reranks[-1], search_k)
        scores = as_float32(vectors[rows]) @ query
        good = (scores >= probe.thresholds[k][number]) & (product_of_row[rows] != probe.own_products[number])
        for step, rerank in enumerate(reranks):
            products = np.unique(product_of_row[rows[:rerank]][good[:rerank]])
            possible = probe.possible[k][number]
            found[step, number] = min(len(products), possible) / max(1, possible)
    for rerank, recalls in zip(reranks, found, strict=True):
        mean = float(recalls.mean())
        margin = _Z_95 * float(recalls.std(ddof=1)) / np.sqrt(len(recalls))
        yield TreeEffort(k, search_k, rerank, mean, max(0.0, mean - margin))


def _search_ks(rows: int) -> list[int]:
    steps = [search_k for search_k in _SEARCH_KS if search_k < rows]
    return [*steps, rows] if rows <= _SEARCH_KS[-1] else steps


def _cost(effort: TreeEffort) -> int:
    return effort.search_k + _RERANK_COST * effort.rerank
