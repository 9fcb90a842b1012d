"""Rough scores: the best products of many vectors, for several queries at once.

Float32 by matrix products. Who is among the best for certain, and in which order, final scores say (see finals.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine.shards.metric import Metric
from vitrine.shards.selection import Mask, Rows, Selection
from vitrine.vectors import Vectors

# Rows scored at a time: small enough to stay in the last-level cache after conversion to float32.
PART_ROWS: Final = 4096
# A scan in a tree's space makes so many scores at a time: more rows where there are fewer queries.
_SCAN_SCORES: Final = 1 << 18
_MOST_SCAN_ROWS: Final = 1 << 16
# Candidates scored at a time: picked out one by one, they come from the second-level cache only if they are few.
_CANDIDATE_ROWS: Final = 512
# Products are put in at least so many groups to see quickly what the best of them score.
_GROUPS: Final = 256

_LOWEST: Final = np.finfo(np.float32).min
# Copying a row out of many costs as much as several that are read in a row: 25 to 80 ns against 5 to 10.
_PICKED_PART: Final = 5

Scores = npt.NDArray[np.float32]
# From the rough score of the last one wanted: the lowest rough score that may turn out to be as good.
DoubtfulFrom = Callable[[float], float]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Vectors of images, those of a product side by side.

    vectors          shape (rows, dim), float16 or float32
    product_starts   shape (products + 1,): the rows of product p are starts[p]:starts[p + 1]
    product_of_row   shape (rows,); None: each row is a product of its own
    """

    vectors: Any
    product_starts: Rows
    product_of_row: npt.NDArray[np.int32] | None

    @staticmethod
    def of(vectors: Any, product_starts: Rows) -> Gallery:
        sizes = np.diff(product_starts)
        single = len(sizes) == len(vectors)
        return Gallery(
            vectors, product_starts, None if single else np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        )

    def rows_of(self, products: Rows) -> tuple[Rows, Rows]:
        """All rows of `products`, and the place in `products` of the one that each belongs to."""
        if self.product_of_row is None:
            return products, np.arange(len(products))
        begins = self.product_starts[products]
        sizes = self.product_starts[products + 1] - begins
        owners = np.repeat(np.arange(len(products)), sizes)
        return np.arange(len(owners)) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes), owners


class Best(NamedTuple):
    """Products and their rough scores, a list a query, in no order. int64 and float32, shape (queries, m).

    Where a list is shorter the product is -1 and the score -inf.
    """

    products: Rows
    scores: Scores

    @property
    def counts(self) -> Rows:
        """Products in each list."""
        counts: Rows = np.count_nonzero(self.products >= 0, axis=1)
        return counts


class Part(NamedTuple):
    """Rows looked at together: whole products.

    places     which of all rows looked at
    rows       which of the gallery
    starts     where among them each product begins; None: each row is a product of its own
    products   their numbers; None: one after the other
    first      the number of the first product
    alive      which of the products count; None = all
    """

    places: slice
    rows: slice | Rows
    starts: Rows | None
    products: Rows | None
    first: int
    alive: Mask | None

    def named(self, products: Rows) -> Rows:
        """The numbers of products that are counted from the beginning of the part."""
        return products + self.first if self.products is None else self.products[products]


def parts_of(gallery: Gallery, selection: Selection | None = None, part_rows: int = PART_ROWS) -> Iterator[Part]:
    """The selected rows of `gallery` (None: all) in order, about `part_rows` at a time; a product is never split."""
    if selection is not None and is_picked(gallery, selection):
        return _picked_parts(gallery, selection.rows, part_rows)
    return _all_parts(gallery, None if selection is None else selection.mask, part_rows)


def scan_rows(queries: int) -> int:
    """Rows that a scan in a tree's space looks at together."""
    return min(_MOST_SCAN_ROWS, max(PART_ROWS, _SCAN_SCORES // queries))


def is_picked(gallery: Gallery, selection: Selection) -> bool:
    """Whether scans pick the selected rows out; to look at all, one after the other, is cheaper where they are many."""
    return selection.count <= len(gallery.vectors) // _PICKED_PART


def best_of_parts(
    parts: Iterable[Part],
    scored: Callable[[Part], Scores],
    queries: int,
    wanted: int,
    doubtful_from: DoubtfulFrom,
) -> Best:
    """The best `wanted` products for each query, and those that may be as good as the last of them.

    `scored`: the scores of a part's rows, shape (queries, rows of the part).
    """
    best = nothing(queries)
    floors = np.full((queries, 1), _LOWEST, np.float32)
    for part in parts:
        scores = by_product(scored(part), part)
        if best.scores.shape[1] == 0:
            floors = _first_floors(scores, wanted, doubtful_from)
        numbers, columns = _places(scores >= floors)
        if len(numbers):
            better = _listed(numbers, part.named(columns), scores[numbers, columns], queries)
            best = joined([best, better])
            floors = floors_of(best.scores, wanted, doubtful_from)
            numbers, columns = _places(best.scores >= floors)
            best = _listed(numbers, best.products[numbers, columns], best.scores[numbers, columns], queries)
    return best


def best_of_all(gallery: Gallery, metric: Metric, selection: Selection | None, queries: Vectors, wanted: int) -> Best:
    """The same by scoring every selected row (None: every row) on its full vector."""
    return best_of_parts(
        parts_of(gallery, selection),
        lambda part: metric.scores(queries, gallery.vectors[part.rows]),
        len(queries),
        wanted,
        metric.doubtful_from,
    )


def best_of_candidates(gallery: Gallery, metric: Metric, queries: Vectors, rows: Rows) -> Best:
    """The products that candidates belong to, scored by the best of these.

    `rows`, shape (queries, r): each query's own candidates; -1 = none.
    """
    step = max(1, _CANDIDATE_ROWS // max(1, rows.shape[1]))
    if len(rows) <= step:
        scores = _candidate_scores(gallery, metric, queries, rows)
    else:
        parts = [slice(begin, begin + step) for begin in range(0, len(rows), step)]
        scores = np.concatenate([_candidate_scores(gallery, metric, queries[part], rows[part]) for part in parts])
    # Where there is no candidate, it was the last row that was scored.
    np.putmask(scores, rows < 0, -np.inf)
    if gallery.product_of_row is None:
        return Best(rows, scores)
    return _each_once(np.where(rows < 0, -1, gallery.product_of_row[rows]), scores)


def _candidate_scores(gallery: Gallery, metric: Metric, queries: Vectors, rows: Rows) -> Scores:
    """Scores of `rows`, shape (queries, r), of which few enough at a time are copied."""
    if rows.shape[1] <= PART_ROWS:
        return metric.candidate_scores(queries, gallery.vectors[rows])
    parts = [rows[:, begin : begin + PART_ROWS] for begin in range(0, rows.shape[1], PART_ROWS)]
    return np.concatenate([metric.candidate_scores(queries, gallery.vectors[part]) for part in parts], axis=1)


def joined(bests: Sequence[Best]) -> Best:
    """Lists of the same queries, one behind the other."""
    if len(bests) == 1:
        return bests[0]
    return Best(
        np.concatenate([best.products for best in bests], axis=1),
        np.concatenate([best.scores for best in bests], axis=1),
    )


def replaced(best: Best, numbers: Rows, lists: Best) -> Best:
    """With the lists `numbers` replaced by `lists`."""
    width = max(best.products.shape[1], lists.products.shape[1])
    products, scores = _widened(best, width)
    products[numbers], scores[numbers] = _widened(lists, width)
    return Best(products, scores)


def nothing(queries: int) -> Best:
    return Best(np.empty((queries, 0), np.int64), np.empty((queries, 0), np.float32))


def packed(lists: list[Rows]) -> Rows:
    """Rows of several queries as one array, shape (queries, longest); -1 where a list is shorter."""
    if len(lists) == 1:
        return lists[0][None, :]
    width = max(map(len, lists), default=0)
    rows = np.full((len(lists), width), -1, np.int64)
    for number, chosen in enumerate(lists):
        rows[number, : len(chosen)] = chosen
    return rows


def product_starts_of(keys: npt.NDArray[np.uint64], product_ids: Any) -> Rows:
    """Where each product's rows begin, and the end. Ids are compared only where neighbouring keys are equal."""
    if len(keys) == 0:
        return np.zeros(1, np.int64)
    same = keys[1:] == keys[:-1]
    for row in np.flatnonzero(same).tolist():
        same[row] = product_ids[row].as_py() == product_ids[row + 1].as_py()
    return np.concatenate([[0], np.flatnonzero(~same) + 1, [len(keys)]]).astype(np.int64)


def _all_parts(gallery: Gallery, mask: Mask | None, part_rows: int) -> Iterator[Part]:
    """Every row, so that none is copied; products outside `mask` are said not to count."""
    starts, single = gallery.product_starts, gallery.product_of_row is None
    for first, last in _cuts(starts, part_rows):
        rows = slice(int(starts[first]), int(starts[last]))
        begins = starts[first:last]
        alive = None if mask is None else mask[rows] if single else mask[begins]
        yield Part(rows, rows, None if single else begins - rows.start, None, first, alive)


def _picked_parts(gallery: Gallery, rows: Rows, part_rows: int) -> Iterator[Part]:
    if gallery.product_of_row is None:
        for begin in range(0, len(rows), part_rows):
            places = slice(begin, min(len(rows), begin + part_rows))
            yield Part(places, rows[places], None, rows[places], 0, None)
        return
    products = gallery.product_of_row[rows].astype(np.int64)
    starts = np.flatnonzero(np.diff(products, prepend=-1, append=-1))
    for first, last in _cuts(starts, part_rows):
        places = slice(int(starts[first]), int(starts[last]))
        begins = starts[first:last]
        yield Part(places, rows[places], begins - places.start, products[begins], 0, None)


def _cuts(starts: Rows, part_rows: int) -> list[tuple[int, int]]:
    """Product ranges whose rows number about `part_rows`."""
    products = len(starts) - 1
    if products <= 0:
        return []
    cuts = np.searchsorted(starts, np.arange(0, int(starts[-1]) + part_rows, part_rows))
    bounds = sorted({0, products, *(int(cut) for cut in cuts if cut < products)})
    return list(pairwise(bounds))


def by_product(scores: Scores, part: Part) -> Scores:
    """The best score of each product, from those of its rows. Shape (queries, products)."""
    if part.starts is not None:
        scores = np.maximum.reduceat(scores, part.starts, axis=1)
    if part.alive is not None:
        np.minimum(scores, np.where(part.alive, np.float32(np.inf), -np.inf), out=scores)
    return scores


def floors_of(scores: Scores, wanted: int, doubtful_from: DoubtfulFrom) -> Scores:
    """The lowest score in each list that is wanted for certain or perhaps. Shape (queries, 1)."""
    count = scores.shape[1]
    if count < wanted:
        return np.full((len(scores), 1), _LOWEST, np.float32)
    last = np.partition(scores, count - wanted, axis=1)[:, count - wanted]
    floors = [doubtful_from(score) if score > _LOWEST else _LOWEST for score in last.tolist()]
    return np.array(floors, np.float32)[:, None]


def _first_floors(scores: Scores, wanted: int, doubtful_from: DoubtfulFrom) -> Scores:
    """As `floors_of`, hardly lower and for a tenth of the time: from the best scores of groups of products."""
    groups = max(_GROUPS, 2 * wanted)
    size = scores.shape[1] // groups
    if size < 2:
        return floors_of(scores, wanted, doubtful_from)
    if scores.flags.c_contiguous:
        best = scores[:, : size * groups].reshape(-1, size, groups).max(axis=1)
    else:
        best = scores.T[: size * groups].reshape(size, groups, -1).max(axis=0).T
    return floors_of(best, wanted, doubtful_from)


def _listed(numbers: Rows, products: Rows, scores: Scores, queries: int) -> Best:
    """A list a query. `numbers`: of the queries, ascending."""
    counts = np.bincount(numbers, minlength=queries)
    shape = (queries, int(counts.max(initial=0)))
    best = Best(np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32))
    places = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    best.products[numbers, places] = products
    best.scores[numbers, places] = scores
    return best


def _places(mask: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Where `mask` is true: rows, ascending, and columns. Five times as fast as numpy's own for few places."""
    if mask.flags.c_contiguous:
        rows, columns = np.divmod(np.flatnonzero(mask), max(1, mask.shape[1]))
        return rows, columns
    columns, rows = np.divmod(np.flatnonzero(mask.T), len(mask))
    order = np.argsort(rows, kind="stable")
    return rows[order], columns[order]


def _widened(best: Best, width: int) -> Best:
    """A copy with lists of `width`."""
    missing = ((0, 0), (0, width - best.products.shape[1]))
    return Best(
        np.pad(best.products, missing, constant_values=-1), np.pad(best.scores, missing, constant_values=-np.inf)
    )


def _each_once(products: Rows, scores: Scores) -> Best:
    """Each list's products once, by their best score; elsewhere -1."""
    order = np.lexsort((-scores, products), axis=1)
    products, scores = np.take_along_axis(products, order, 1), np.take_along_axis(scores, order, 1)
    again = products[:, 1:] == products[:, :-1]
    products[:, 1:][again] = -1
    scores[:, 1:][again] = -np.inf
    return Best(products, scores)
