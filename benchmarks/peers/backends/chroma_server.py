"""Chroma's server through its HttpClient.

Its documentation ("Configure Collections") calls the defaults good for most uses; `ef_search` is what it names to trade
time for recall. Ids and distances are all that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings as ClientSettings

from benchmarks.peers.backends import Settings, Vectors

_ROWS_A_CALL = 5_000


class Collection:
    grid = tuple({"ef_search": ef} for ef in (10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 400))
    batches = True

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def use(self, settings: Settings) -> None:
        self._collection.modify(configuration={"hnsw": settings})

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[str]]:
        answer = self._collection.query(query_embeddings=queries, n_results=k, include=["distances"])
        ids: list[list[str]] = answer["ids"]
        return ids


def opened(vectors: Vectors, folder: Path, address: str) -> Collection:
    host, _, port = address.rpartition(":")
    client = chromadb.HttpClient(host, int(port), settings=ClientSettings(anonymized_telemetry=False))
    collection = client.create_collection("products", configuration={"hnsw": {"space": "cosine"}})
    for first in range(0, len(vectors), _ROWS_A_CALL):
        part = vectors[first : first + _ROWS_A_CALL]
        collection.add(ids=[str(first + row) for row in range(len(part))], embeddings=part)
    return Collection(collection)
