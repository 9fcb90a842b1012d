"""The scan that everybody writes first: one product with the whole matrix, then the ten best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.backends import Settings, Vectors


class Scan:
    grid: Sequence[Settings] = ({},)
    batches = True

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def use(self, settings: Settings) -> None:
        """There is nothing to set."""

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[int]]:
        scores = queries @ self._vectors.T
        rows: list[list[int]] = np.argpartition(-scores, k, axis=1)[:, :k].tolist()
        return rows


def opened(vectors: Vectors, folder: Path, address: str) -> Scan:
    return Scan(vectors)
