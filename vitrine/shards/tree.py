"""The two-stage tree: a PCA projection and an Annoy tree over it. The only place that imports annoy.

Annoy files have no header, so `Tree.open` is only ever called on files whose checksum has been verified.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vitrine.runtime.errors import CorruptShard
from vitrine.vectors import Vectors

SEED: Final = 20
PCA_SAMPLE_ROWS: Final = 20_000


def available() -> bool:
    """Whether annoy is installed (it needs a C++ compiler); without it shards are searched exactly."""
    return importlib.util.find_spec("annoy") is not None


def fit_projection(vectors: Any, dim: int) -> tuple[Vectors, float]:
    """The top principal directions of up to 20,000 evenly spaced rows of `vectors`, shape (n, full_dim).

    Returns the projection, float32, shape (full_dim, min(dim, full_dim)), and the share of variance it keeps. No mean
    is subtracted when projecting: distances between projected vectors do not depend on it.
    """
    step = max(1, len(vectors) // PCA_SAMPLE_ROWS)
    sample = np.asarray(vectors[::step], dtype=np.float32)
    covariance = np.cov(sample, rowvar=False).reshape(sample.shape[1], sample.shape[1])
    variances, directions = np.linalg.eigh(covariance)
    keep = min(dim, sample.shape[1])
    total = float(variances.sum())
    share = float(variances[-keep:].sum()) / total if total > 0 else 1.0
    return np.ascontiguousarray(directions[:, ::-1][:, :keep], dtype=np.float32), share


def build(projected: Vectors, trees: int, path: Path) -> None:
    """Writes an Annoy file over `projected`, shape (rows, projected_dim). One job, fixed seed: same rows, same file."""
    from annoy import AnnoyIndex

    index = AnnoyIndex(projected.shape[1], "euclidean")
    index.set_seed(SEED)
    for row, vector in enumerate(projected.tolist()):
        index.add_item(row, vector)
    index.build(trees, n_jobs=1)
    index.save(str(path))


class Tree:
    """A memory-mapped Annoy file. Dropping the last reference unmaps it; queries under way keep theirs."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @staticmethod
    def open(path: Path, projected_dim: int, rows: int) -> Tree:
        """Raises CorruptShard if the file does not hold `rows` items."""
        from annoy import AnnoyIndex

        index = AnnoyIndex(projected_dim, "euclidean")
        index.load(str(path))
        if index.get_n_items() != rows:
            raise CorruptShard(f"{path.name} holds {index.get_n_items()} items, expected {rows}")
        return Tree(index)

    def candidates(self, projected_query: Vectors, count: int, search_k: int) -> npt.NDArray[np.int64]:
        """Up to `count` rows, nearest first in projected space, after inspecting about `search_k` of them."""
        return np.array(self._index.get_nns_by_vector(projected_query.tolist(), count, search_k), dtype=np.int64)
