"""What a search should have found: every row scored, float32, block by block; and how much of it was found.

The rule is the same everywhere: a row counts as found if it scores as well as the k-th best, to within what nobody
could tell apart (`Metric.as_good_as`: 1e-3 of cosine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.shards.metric import ANGULAR, metric_of
from vitrine.shards.selection import Rows
from vitrine.vectors import Vectors

_BLOCK_ROWS: Final = 16_384


@dataclass(frozen=True)
class Truth:
    """The best rows of each query, best first. Shapes (q, k), or (q, n) where only n rows may be answered."""

    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    metric: str

    @property
    def k(self) -> int:
        return int(self.rows.shape[1])


def exact_best(vectors: Any, queries: Vectors, k: int, metric: str = ANGULAR, among: Rows | None = None) -> Truth:
    """The best `k` of `vectors`, shape (n, dim), for `queries`, shape (q, dim). `among`: rows that may be answered."""
    among = np.arange(len(vectors)) if among is None else among
    rows = np.empty((len(queries), 0), np.int64)
    scores = np.empty((len(queries), 0), np.float32)
    for begin in range(0, len(among), _BLOCK_ROWS):
        block = among[begin : begin + _BLOCK_ROWS]
        rows = np.hstack([rows, np.broadcast_to(block, (len(queries), len(block)))])
        scores = np.hstack([scores, metric_of(metric).scores(queries, vectors[block])])
        if scores.shape[1] > k:
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            rows, scores = np.take_along_axis(rows, best, 1), np.take_along_axis(scores, best, 1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return Truth(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1), metric)


def recalls(truth: Truth, found: Sequence[Rows], vectors: Any, queries: Vectors) -> npt.NDArray[np.float64]:
    """Share of the best that was found, for each query. A row that is named twice counts once. Shape (q,)."""
    metric = metric_of(truth.metric)
    least = metric.as_good_as(truth.scores[:, -1].copy())
    hits = []
    for query, rows, threshold in zip(queries, found, least, strict=True):
        scores = metric.scores(query[None, :], vectors[np.unique(rows)])[0]
        hits.append(min(truth.k, int(np.count_nonzero(scores >= threshold))))
    return np.array(hits) / truth.k


def recall(truth: Truth, found: Sequence[Rows], vectors: Any, queries: Vectors) -> float:
    """Mean of `recalls`, to four digits."""
    return round(float(recalls(truth, found, vectors, queries).mean()), 4)
