"""A LanceDB table in a folder.

Its documentation ("Vector Indexes") recommends IVF_HNSW_SQ for recall and latency, rows / 1,048,576 partitions,
`ef_construction` 150, and to raise `ef` from 1.5 k to 10 k; `refine_factor` ranks candidates by their full vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa

from benchmarks.peers.backends import Settings, Vectors

_ROWS_A_PARTITION = 1_048_576
_EF_CONSTRUCTION = 150


class Table:
    grid = tuple(
        {"ef": ef, "refine_factor": refine}
        for ef, refine in ((15, 1), (20, 1), (30, 1), (30, 2), (50, 2), (70, 2), (100, 2), (100, 4), (200, 4), (400, 8))
    )
    batches = True

    def __init__(self, table: Any) -> None:
        self._table = table
        self._settings: Settings = {}

    def use(self, settings: Settings) -> None:
        self._settings = settings

    def search(self, queries: Vectors, k: int) -> Sequence[Sequence[int]]:
        asked = queries[0] if len(queries) == 1 else list(queries)
        search = self._table.search(asked).distance_type("cosine").limit(k).select(["row", "_distance"])
        found = search.ef(self._settings["ef"]).refine_factor(self._settings["refine_factor"]).to_arrow()
        if len(queries) == 1:
            return [found["row"].to_pylist()]
        rows: list[list[int]] = [[] for _ in queries]
        for query, row in zip(found["query_index"].to_pylist(), found["row"].to_pylist(), strict=True):
            rows[query].append(row)
        return rows


def opened(vectors: Vectors, folder: Path, address: str) -> Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    table = lancedb.connect(folder).create_table(
        "products", pa.table({"row": pa.array(range(len(vectors)), pa.int64()), "vector": column})
    )
    partitions = max(1, len(vectors) // _ROWS_A_PARTITION)
    table.create_index(
        metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=partitions, ef_construction=_EF_CONSTRUCTION
    )
    return Table(table)
