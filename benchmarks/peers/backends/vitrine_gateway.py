"""Vitrine's gateway through its own client. Its index is made and served beforehand: see `benchmarks.peers.servers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.backends import Settings, Vectors
from vitrine.client import Answer, Search, VisualSearchClient
from vitrine.runtime.errors import VitrineError

# Tried first is what the index promises, then more; less than it promises is for the curve only.
_GRID: tuple[Settings, ...] = (
    {},
    {"recall_target": 0.995},
    {"recall_target": 0.999},
    {"exact": True},
    {"recall_target": 0.8},
    {"recall_target": 0.9},
    {"recall_target": 0.95},
)


class Gateway:
    grid = _GRID
    batches = True

    def __init__(self, address: str) -> None:
        self._client = VisualSearchClient(address)
        self._settings: Settings = {}

    def use(self, settings: Settings) -> None:
        self._settings = settings

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[str]]:
        if len(queries) == 1:
            return [_product_ids(self._client.search(vector=queries[0], k=k, **self._settings))]
        searches = [Search(vector=query, k=k, **self._settings) for query in queries]
        return [_product_ids(answer) for answer in self._client.search_batch(searches)]


def _product_ids(answer: Answer | VitrineError) -> list[str]:
    """An error in a batch ends the load, as any other does."""
    if isinstance(answer, VitrineError):
        raise answer
    return [hit.product_id for hit in answer.hits]


def opened(vectors: Vectors, folder: Path, address: str) -> Gateway:
    return Gateway(address)
