"""One shard searched for a batch of queries that want alike: candidates, and how each query's were found."""

from __future__ import annotations

from time import perf_counter
from typing import Final, NamedTuple

import numpy as np

from vitrine.shards.planning import Extent, Task, Way
from vitrine.shards.scoring import (
    Best,
    Gallery,
    Part,
    Scores,
    best_of_all,
    best_of_candidates,
    best_of_parts,
    is_picked,
    packed,
    parts_of,
    replaced,
    scan_rows,
)
from vitrine.shards.selection import BLOCK_ROWS, Mask, Rows, Selection
from vitrine.shards.shard import FirstStage, Shard
from vitrine.shards.space import ScannedSpace
from vitrine.vectors import Vectors

# A tree that brings less than this share of the selected rows expected of it has come to where they are rare.
_ENOUGH_PASSING: Final = 0.5
# Where it brought too few, what is missing is estimated from what came: a bit more is asked for than that.
_SPARE: Final = 1.5

# Copying one row of the projected vectors out of many.
_PICK_NS: Final = 25.0

_EVERYTHING: Final = [1.0]


class Search(NamedTuple):
    """How a shard was searched for one query. `rows_scored`: on their full vectors. `search_us`: its share of the time.

    `fell_back`: a cheaper way found too few before.
    """

    way: Way
    rows_scored: int
    search_us: float
    fell_back: bool = False


class Finding(NamedTuple):
    """The best products of a shard for each query, and those that may be as good; and how each was searched for."""

    best: Best
    searches: list[Search]

    def mended(self, numbers: Rows, again: Finding) -> Finding:
        """With the queries `numbers` answered by `again`, which has nothing but them."""
        best = replaced(self.best, numbers, again.best)
        searches = list(self.searches)
        for number, search in zip(numbers.tolist(), again.searches, strict=True):
            spent_us = searches[number].search_us + search.search_us
            searches[number] = search._replace(search_us=spent_us, fell_back=True)
        return Finding(best, searches)


def found_in(shard: Shard, selection: Selection, queries: Vectors, task: Task) -> Finding:
    """The best `task.k` products among the selected rows for each of `queries`, shape (q, dim), and maybe others."""
    ways = shard.ways(_extent(shard, selection), task)
    return _found(shard, selection, queries, task, ways.first, ways.scan)


def _extent(shard: Shard, selection: Selection) -> Extent:
    picked = is_picked(shard.gallery, selection)
    kept = selection.count <= BLOCK_ROWS
    return Extent(shard.rows, selection.count, picked, 0.0 if kept or not picked else _PICK_NS)


def _found(shard: Shard, selection: Selection, queries: Vectors, task: Task, way: Way, scan: Way) -> Finding:
    """`scan`: what to do where a tree brings too little."""
    started = perf_counter()
    passing: list[int] = []
    if way.method == "tree":
        best, passing = _by_tree(shard, selection.mask, queries, way)
        rows_scored = sum(passing) // len(passing)
    else:
        best = _by_scan(shard, selection, queries, task.k, way)
        rows_scored = way.candidates if way.method == "projected" else selection.count
    search_us = (perf_counter() - started) * 1e6 / len(queries)
    finding = Finding(best, [Search(way, rows_scored, search_us)] * len(queries))
    came = _share_that_came(shard, selection, finding, task, passing) if passing else _EVERYTHING
    if min(came) >= 1:
        return finding
    numbers = np.array([number for number, share in enumerate(came) if share < 1])
    again = _next(way, scan, min(came), shard.rows)
    return finding.mended(numbers, _found(shard, selection, queries[numbers], task, again, scan))


def _share_that_came(
    shard: Shard, selection: Selection, finding: Finding, task: Task, passing: list[int]
) -> list[float]:
    """What a tree search brought each query of what it must bring: products, and selected rows to choose them from.

    `passing`: the candidates that were selected rows.
    """
    products_wanted = min(task.trusted, selection.count)
    # Dead and filtered rows may crowd around a query.
    rows_wanted = 0 if selection.mask is None else _ENOUGH_PASSING * finding.searches[0].way.passing
    products = passing if shard.gallery.product_of_row is None else finding.best.counts.tolist()
    return [
        min(found / products_wanted, 1.0 if rows_wanted == 0 else rows / rows_wanted)
        for found, rows in zip(products, passing, strict=True)
    ]


def _next(way: Way, scan: Way, came: float, rows: int) -> Way:
    """What to do where a tree search brought only the share `came` of what was expected: a wider one, or the scan."""
    wider = way.widened(_SPARE / max(came, _SPARE / rows), rows)
    return wider if wider.cost_us < scan.cost_us and wider.candidates < rows else scan


def _by_tree(shard: Shard, mask: Mask | None, queries: Vectors, way: Way) -> tuple[Best, list[int]]:
    """The products that the tree's candidates belong to, and how many of these were selected rows."""
    assert shard.first_stage is not None
    tree, space = shard.first_stage.tree, shard.first_stage.space
    lists = [tree.candidates(query, way.candidates, way.search_k) for query in space.project(queries)]
    if mask is not None:
        lists = [rows[mask[rows]] for rows in lists]
    return best_of_candidates(shard.gallery, shard.metric, queries, packed(lists)), list(map(len, lists))


def _by_scan(shard: Shard, selection: Selection, queries: Vectors, k: int, way: Way) -> Best:
    if way.method == "exact":
        return best_of_all(shard.gallery, shard.metric, selection, queries, k)
    assert shard.first_stage is not None
    products = nearest(shard.first_stage, shard.gallery, selection, queries, way.candidates).products
    if shard.gallery.product_of_row is None:
        return best_of_candidates(shard.gallery, shard.metric, queries, products)
    lists = [shard.gallery.rows_of(chosen[chosen >= 0])[0] for chosen in products]
    return best_of_candidates(shard.gallery, shard.metric, queries, packed(lists))


def nearest(stage: FirstStage, gallery: Gallery, selection: Selection | None, queries: Vectors, count: int) -> Best:
    """The `count` selected products (None: of all) with the nearest rows in the space of `stage`, and ties.

    `queries`: shape (q, dim). The scores are distances, negative. For a stage that keeps projected rows.
    """
    space, projected = stage.space, stage.projected
    assert isinstance(space, ScannedSpace)
    assert projected is not None
    keep = selection is not None and is_picked(gallery, selection) and selection.count <= BLOCK_ROWS
    kept = selection.block(projected.__getitem__) if selection is not None and keep else None

    def nearness(part: Part) -> Scores:
        block = projected[part.rows] if kept is None else kept[part.places]
        distances = space.distances(queries, block)
        return np.negative(distances, out=distances)

    parts = parts_of(gallery, selection, scan_rows(len(queries)))
    return best_of_parts(parts, nearness, len(queries), count, doubtful_from=float)
