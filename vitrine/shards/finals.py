"""The last word: candidates of several shards → products in rank order.

Final scores depend on the query and the row alone, so the order of two products is the same whatever else was asked,
and whatever way they were found: pages are taken up again by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from vitrine.shards.halves import as_float32
from vitrine.shards.metric import Metric
from vitrine.shards.scoring import Best, Gallery, Scores, floors_of, joined
from vitrine.shards.selection import Rows
from vitrine.vectors import Vectors

# Rows scored at a time: their vectors are in memory as float32 and float64.
_PART_ROWS: Final = 4096


class Candidates(NamedTuple):
    """What may be among the best: one entry a query and product, queries in order.

    queries    the query's number
    galleries  the number of the gallery in which the product is
    products   the product's number there
    """

    queries: Rows
    galleries: Rows
    products: Rows

    def counts(self, queries: int, galleries: int) -> Rows:
        """How many of each query's candidates are in each gallery, shape (queries, galleries)."""
        places = self.queries * galleries + self.galleries
        return np.bincount(places, minlength=queries * galleries).reshape(queries, galleries)


class Finals(NamedTuple):
    """Candidates and their final scores: queries in order, each one's best first. `rows`: of the best images."""

    queries: Rows
    galleries: Rows
    rows: Rows
    scores: Scores

    def by_query(self, queries: int) -> Iterator[list[tuple[float, int, int]]]:
        """(score, gallery, row) of each query's products."""
        listed = list(zip(self.scores.tolist(), self.galleries.tolist(), self.rows.tolist(), strict=True))
        bounds = np.searchsorted(self.queries, np.arange(queries + 1)).tolist()
        for begin, end in pairwise(bounds):
            yield listed[begin:end]


def best_together(bests: Sequence[Best], wanted: int, metric: Metric) -> Candidates:
    """The best `wanted` for each query of all that was found in several galleries, and those that may be as good."""
    everything = joined(bests)
    floors = floors_of(everything.scores, wanted, metric.doubtful_from)
    queries, columns = np.nonzero(everything.scores >= floors)
    widths = [best.scores.shape[1] for best in bests]
    galleries = np.repeat(np.arange(len(bests)), widths)
    return Candidates(queries, galleries[columns], everything.products[queries, columns])


def finals_of(candidates: Candidates, galleries: Sequence[Gallery], metric: Metric, queries: Vectors) -> Finals:
    """Each candidate with the final score of its best image. `queries`: shape (q, dim)."""
    rows, owners = _rows_of(candidates, galleries)
    numbers, places = candidates.queries[owners], candidates.galleries[owners]
    scores = np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), _PART_ROWS):
        part = slice(begin, begin + _PART_ROWS)
        vectors = _gathered(galleries, places[part], rows[part])
        scores[part] = metric.final_scores(queries[numbers[part]], vectors)
    if len(rows) > len(candidates.products):
        # Of equally good images of a product the first one stands for it.
        order = np.lexsort((rows, -scores, owners))
        best = order[np.diff(owners[order], prepend=-1) != 0]
        numbers, places, rows, scores = numbers[best], places[best], rows[best], scores[best]
    order = np.lexsort((-scores, numbers))
    return Finals(numbers[order], places[order], rows[order], scores[order])


def _rows_of(candidates: Candidates, galleries: Sequence[Gallery]) -> tuple[Rows, Rows]:
    """All rows of the candidates' products, and the number of the candidate that each belongs to, ascending."""
    everyone = np.arange(len(candidates.products))
    if all(gallery.product_of_row is None for gallery in galleries):
        return candidates.products, everyone
    rows, owners = [], []
    for place, gallery in enumerate(galleries):
        here = everyone[candidates.galleries == place]
        rows_here, owners_here = gallery.rows_of(candidates.products[here])
        rows.append(rows_here)
        owners.append(here[owners_here])
    order = np.argsort(np.concatenate(owners), kind="stable")
    return np.concatenate(rows)[order], np.concatenate(owners)[order]


def _gathered(galleries: Sequence[Gallery], places: Rows, rows: Rows) -> Vectors:
    """The vectors of rows of several galleries, shape (n, dim)."""
    if len(galleries) == 1:
        return as_float32(galleries[0].vectors[rows])
    vectors = np.empty((len(rows), galleries[0].vectors.shape[1]), np.float32)
    for place in np.unique(places).tolist():
        here = places == place
        vectors[here] = as_float32(galleries[place].vectors[rows[here]])
    return vectors
