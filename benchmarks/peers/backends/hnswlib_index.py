"""hnswlib as a library, with what its README gives: M 16, ef_construction 200; `ef` trades time for recall."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hnswlib

from benchmarks.peers.backends import Settings, Vectors


class Index:
    grid = tuple({"ef": ef} for ef in (10, 15, 20, 30, 40, 60, 80, 120, 200, 400))
    batches = True

    def __init__(self, index: hnswlib.Index) -> None:
        self._index = index

    def use(self, settings: Settings) -> None:
        self._index.set_ef(settings["ef"])

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[int]]:
        labels, _ = self._index.knn_query(queries, k=k)
        rows: list[list[int]] = labels.tolist()
        return rows


def opened(vectors: Vectors, folder: Path, address: str) -> Index:
    index = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=200, M=16)
    index.add_items(vectors)
    return Index(index)
