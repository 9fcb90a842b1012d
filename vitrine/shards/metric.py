"""What "similar" means in an index: a score, 1 = the same, for every pair of unit vectors.

    angular     the cosine
    hamming     the cosine too; candidates are found by their bits (see space.py)
    euclidean   1 / (1 + distance)
    manhattan   1 / (1 + distance)

Rough scores are float32, by matrix products over many rows: how their sums are rounded depends on where a row stands.
Final scores depend on nothing but the query and the row, so that an order of products can be taken up again later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.runtime.errors import ConfigError
from vitrine.shards.halves import as_float32
from vitrine.vectors import Vectors

Scores = npt.NDArray[np.float32]

# A row counts as found if it is that much worse than the k-th best: nobody could tell them apart.
SCORE_TOLERANCE: Final = 1e-3
# Rows made float32 at a time: half a megabyte stays in the cache, and servers give larger blocks back to the system
# after each use. 250,000 x 512 for one query: 77 ms in a server, 166 ms with 8,192 at a time.
_WIDENED_ROWS: Final = 256

# Float32 sums of 512 products of unit vectors are off by a few 1e-7; what scores more than this is the same.
_SAME_MIN: Final = 1 - 1e-6
# Rough cosines are that close to final ones, and half of rough squared distances: with room to spare. Float32 scores
# near 1 are a bit rougher than the distances that they come from.
_ROUGH_COSINE: Final = 2e-6
_ROUGH_SUM: Final = 1e-5  # part of a distance
_ROUGH_SCORE: Final = 5e-7
# Rows whose differences to a query are held at once: they stay in the second-level cache.
_MANHATTAN_ROWS: Final = 256


@dataclass(frozen=True)
class Metric(ABC):
    """How vectors are compared. Queries are float32 and unit length; rows float32, or float16 as rolled shards have."""

    name: str

    @abstractmethod
    def scores(self, queries: Vectors, block: Any) -> Scores:
        """Rough scores of every row of `block`, shape (n, dim), for each of `queries`, shape (q, dim): shape (q, n)."""

    @abstractmethod
    def candidate_scores(self, queries: Vectors, candidates: Any) -> Scores:
        """Rough scores of each query's own `candidates`, shape (q, r, dim): shape (q, r)."""

    @abstractmethod
    def final_scores(self, query: Vectors, vectors: Any) -> Scores:
        """Scores of `vectors`, shape (n, dim), for `query`, shape (dim,), or for a query each, shape (n, dim).

        Whatever else is asked, shape (n,).
        """

    @abstractmethod
    def doubtful_from(self, score: float) -> float:
        """The lowest rough score whose final one may be as good as that of a row with the rough score `score`."""

    @abstractmethod
    def as_good_as(self, scores: Scores) -> Scores:
        """What a row must score to count as found where `scores` are the k-th best, any shape."""


class _Cosine(Metric):
    def scores(self, queries: Vectors, block: Any) -> Scores:
        products = np.empty((len(block), len(queries)), np.float32)
        for begin in range(0, len(block), _WIDENED_ROWS):
            rows = as_float32(block[begin : begin + _WIDENED_ROWS])
            np.matmul(rows, queries.T, out=products[begin : begin + len(rows)])
        return _cosines(np.ascontiguousarray(products.T))

    def candidate_scores(self, queries: Vectors, candidates: Any) -> Scores:
        return _cosines(np.matmul(as_float32(candidates), queries[:, :, None])[:, :, 0])

    def final_scores(self, query: Vectors, vectors: Any) -> Scores:
        products = np.einsum("...d,...d->...", vectors.astype(np.float64), query.astype(np.float64))
        return _cosines(products.astype(np.float32))

    def doubtful_from(self, score: float) -> float:
        return score - _ROUGH_COSINE

    def as_good_as(self, scores: Scores) -> Scores:
        return scores - np.float32(SCORE_TOLERANCE)


class _Distance(Metric):
    """1 / (1 + distance). A thousandth of such a score, not of 1, is what does not matter: it can be small."""

    def doubtful_from(self, score: float) -> float:
        # No row scores 0 or less: such a bound leaves none out.
        return 1 / (1 + self._doubtful_up_to(1 / score - 1)) - _ROUGH_SCORE if score > 0 else score

    @abstractmethod
    def _doubtful_up_to(self, distance: float) -> float:
        """The longest rough distance whose final one may be as short as that of a row at the rough `distance`."""

    def as_good_as(self, scores: Scores) -> Scores:
        return scores * np.float32(1 - SCORE_TOLERANCE)


class _Euclidean(_Distance):
    def scores(self, queries: Vectors, block: Any) -> Scores:
        rows = as_float32(block)
        return _from_squares(_products(queries, rows), np.einsum("nd,nd->n", rows, rows))

    def candidate_scores(self, queries: Vectors, candidates: Any) -> Scores:
        rows = as_float32(candidates)
        return _from_squares(np.matmul(rows, queries[:, :, None])[:, :, 0], np.einsum("qrd,qrd->qr", rows, rows))

    def final_scores(self, query: Vectors, vectors: Any) -> Scores:
        differences = vectors.astype(np.float64) - query.astype(np.float64)
        return _from_distances(np.sqrt(np.einsum("nd,nd->n", differences, differences)))

    def _doubtful_up_to(self, distance: float) -> float:
        return sqrt(distance**2 + 2 * _ROUGH_COSINE)


class _Manhattan(_Distance):
    def scores(self, queries: Vectors, block: Any) -> Scores:
        distances = np.empty((len(queries), len(block)), np.float32)
        for begin in range(0, len(block), _MANHATTAN_ROWS):
            rows = as_float32(block[begin : begin + _MANHATTAN_ROWS])
            differences = np.empty_like(rows)
            for number, query in enumerate(queries):
                np.abs(np.subtract(rows, query, out=differences), out=differences)
                differences.sum(axis=1, out=distances[number, begin : begin + len(rows)])
        return _from_distances(distances)

    def candidate_scores(self, queries: Vectors, candidates: Any) -> Scores:
        differences = as_float32(candidates) - queries[:, None, :]
        return _from_distances(np.abs(differences, out=differences).sum(axis=2))

    def final_scores(self, query: Vectors, vectors: Any) -> Scores:
        differences = vectors.astype(np.float64) - query.astype(np.float64)
        return _from_distances(np.abs(differences, out=differences).sum(axis=1))

    def _doubtful_up_to(self, distance: float) -> float:
        return distance * (1 + _ROUGH_SUM)


ANGULAR: Final = "angular"
METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (_Cosine(ANGULAR), _Euclidean("euclidean"), _Manhattan("manhattan"), _Cosine("hamming"))
}


def metric_of(name: str) -> Metric:
    """Raises ConfigError for a name that is none of METRICS."""
    if name not in METRICS:
        raise ConfigError("metric", f"{name!r} is none of {', '.join(METRICS)}")
    return METRICS[name]


def _products(queries: Vectors, rows: Vectors) -> Scores:
    """Shape (q, n). Rows first: with few queries BLAS takes half the time that it takes the other way round."""
    return np.ascontiguousarray((rows @ queries.T).T)


def _cosines(products: Scores) -> Scores:
    """Products of unit vectors, in place, within -1 and 1; equal vectors score 1."""
    np.putmask(products, products > _SAME_MIN, np.float32(1))
    return np.maximum(products, np.float32(-1), out=products)


def _from_squares(products: Scores, squares: Scores) -> Scores:
    """Scores by products with unit queries, in place, and the rows' squared lengths, shape of the rows."""
    products *= -2
    products += squares
    products += 1
    return _from_distances(np.sqrt(np.maximum(products, 0, out=products), out=products))


def _from_distances(distances: npt.NDArray[Any]) -> Scores:
    """1 / (1 + distance), float32."""
    scores: Scores = np.reciprocal(distances + 1).astype(np.float32, copy=False)
    return scores
