"""An Annoy tree over projected vectors. The only place that imports annoy.

Annoy files have no header, so `Tree.open` is only ever called on files whose checksum has been verified.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.runtime.errors import CorruptShard
from vitrine.shards.space import TreeMetric
from vitrine.vectors import Vectors

SEED: Final = 20


def available() -> bool:
    """Whether annoy is installed (it needs a C++ compiler); without it shards are searched exactly."""
    return importlib.util.find_spec("annoy") is not None


def build(parts: Iterable[Vectors], dim: int, metric: TreeMetric, trees: int, path: Path) -> None:
    """Writes an Annoy file over the rows of `parts`, each of shape (n, dim), one behind the other.

    One job, fixed seed: same rows, same file. It is built in the file, so it takes page cache, not memory.
    """
    from annoy import AnnoyIndex

    index = AnnoyIndex(dim, metric)
    index.set_seed(SEED)
    path.touch()  # annoy would make it readable by its owner alone
    index.on_disk_build(str(path))
    row = 0
    for part in parts:
        for vector in part.tolist():
            index.add_item(row, vector)
            row += 1
    index.build(trees, n_jobs=1)


class Tree:
    """A memory-mapped Annoy file. Dropping the last reference unmaps it; queries under way keep theirs."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @staticmethod
    def open(path: Path, dim: int, rows: int, metric: TreeMetric) -> Tree:
        """Raises CorruptShard if the file does not hold `rows` items."""
        from annoy import AnnoyIndex

        index = AnnoyIndex(dim, metric)
        index.load(str(path))
        if index.get_n_items() != rows:
            raise CorruptShard(f"{path.name} holds {index.get_n_items()} items, expected {rows}")
        return Tree(index)

    def candidates(self, projected_query: Vectors, count: int, search_k: int) -> npt.NDArray[np.int64]:
        """Up to `count` rows, nearest first in projected space, after inspecting about `search_k` of them."""
        return np.array(self._index.get_nns_by_vector(projected_query.tolist(), count, search_k), dtype=np.int64)
