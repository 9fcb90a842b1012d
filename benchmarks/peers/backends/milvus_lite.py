"""Milvus Lite through MilvusClient with a file, as its documentation ("Run Milvus Lite Locally") does.

Index HNSW with M 16 and efConstruction 200, as in the package's own example; `ef` trades time for recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pymilvus import DataType, MilvusClient

from benchmarks.peers.backends import Settings, Vectors

_NAME = "products"
_ROWS_A_CALL = 5_000


class Collection:
    grid = tuple({"ef": ef} for ef in (10, 20, 40, 64, 100, 200, 400))
    batches = True

    def __init__(self, client: MilvusClient) -> None:
        self._client = client
        self._settings: Settings = {}

    def use(self, settings: Settings) -> None:
        self._settings = {"metric_type": "COSINE", "params": settings}

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[int]]:
        answers = self._client.search(_NAME, data=list(queries), limit=k, search_params=self._settings)
        return [[hit["id"] for hit in answer] for answer in answers]


def opened(vectors: Vectors, folder: Path, address: str) -> Collection:
    client = MilvusClient(str(folder / "milvus.db"))
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
    client.create_collection(_NAME, schema=schema)
    for first in range(0, len(vectors), _ROWS_A_CALL):
        part = vectors[first : first + _ROWS_A_CALL]
        client.insert(_NAME, [{"id": first + row, "vector": vector} for row, vector in enumerate(part)])
    client.flush(_NAME)
    client.create_index(_NAME, index)
    client.load_collection(_NAME)
    return Collection(client)
