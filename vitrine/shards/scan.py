"""The nearest rows in a tree's space, by comparing all of them: below some ten thousand rows cheaper than the tree."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.shards.space import Space
from vitrine.vectors import Vectors

Rows = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float32]

# Distances held at once (16 MB).
_HELD: Final = 1 << 22
# Rows of which only the nearest is looked at first, and how many such groups there are for each row wanted.
_GROUP_ROWS: Final = 64
_GROUPS: Final = 4


def nearest_rows(
    space: Space, stored: Any, queries: Vectors, count: int, mask: npt.NDArray[np.bool_] | None = None
) -> list[Rows]:
    """The `count` rows of `stored` nearest to each of `queries`, shape (q, full dim), nearest first.

    `mask`, shape (rows,): rows that count; None = all.
    """
    found = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    step = max(1, _HELD // max(1, len(queries)))
    for begin in range(0, len(stored), step):
        distances = space.distances(queries, stored[begin : begin + step])
        if mask is not None:
            distances[:, ~mask[begin : begin + step]] = np.inf
        for number, one in enumerate(np.ascontiguousarray(distances)):
            chosen = smallest(one, count)
            rows, known = found[number]
            found[number] = np.concatenate([rows, chosen + begin]), np.concatenate([known, one[chosen]])
    return [_ordered(rows, distances, count) for rows, distances in found]


def smallest(distances: Distances, count: int) -> Rows:
    """Where the `count` smallest of `distances`, shape (n,), are, and a few more; less than infinity.

    The smallest of each of many groups are compared first: the count-th of those bounds what can be among the smallest
    of all, and one comparison with it is a fifth of the work of partitioning everything.
    """
    size = min(_GROUP_ROWS, len(distances) // (_GROUPS * count))
    if size < 2:
        return np.flatnonzero(distances < np.inf)
    groups = len(distances) // size
    lowest = distances[: groups * size].reshape(size, groups).min(axis=0)
    bound = np.partition(lowest, count - 1)[count - 1]
    return np.flatnonzero(distances <= min(bound, np.finfo(np.float32).max))


def _ordered(rows: Rows, distances: Distances, count: int) -> Rows:
    if len(rows) > _GROUPS * count:
        chosen = np.argpartition(distances, count - 1)[:count]
        rows, distances = rows[chosen], distances[chosen]
    return rows[np.argsort(distances, kind="stable")[:count]]
