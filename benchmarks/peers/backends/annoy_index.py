"""Plain Annoy as notebooks use it: angular, 100 trees over the whole vectors; `search_k` trades time for recall."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import annoy

from benchmarks.peers.backends import Settings, Vectors

_TREES = 100


class Index:
    grid = tuple({"search_k": nodes} for nodes in (1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 48_000))
    batches = False

    def __init__(self, index: annoy.AnnoyIndex) -> None:
        self._index = index
        self._search_k = -1

    def use(self, settings: Settings) -> None:
        self._search_k = settings["search_k"]

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[int]]:
        return [self._index.get_nns_by_vector(query, k, self._search_k) for query in queries]


def opened(vectors: Vectors, folder: Path, address: str) -> Index:
    index = annoy.AnnoyIndex(vectors.shape[1], "angular")
    index.on_disk_build(str(folder / "index.annoy"))
    for row, vector in enumerate(vectors):
        index.add_item(row, vector)
    index.build(_TREES)
    return Index(index)
