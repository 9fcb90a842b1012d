"""What `vitrine bench vectors` has written, opened to measure with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from vitrine.cli.bench.vectors import PROGRESS, QUERIES, QUERY_ROWS, ROWS, VECTORS
from vitrine.runtime.errors import ConfigError
from vitrine.shards.calibrate import MOVED_COSINE, moved
from vitrine.shards.selection import Rows
from vitrine.vectors import Vectors, unit

_PLACE_COLUMNS = ("picture", "view")


@dataclass(frozen=True)
class VectorSet:
    """Rows, each a product of its own, and queries that are none of them.

    vectors        float16, shape (rows, dim), unit length, mapped
    labels         a row each: product_id, category and attributes
    pictures       shape (rows,): the picture each row is a view of
    queries        float32, shape (queries, dim), unit length
    query_labels, query_pictures  the same of the queries
    """

    vectors: npt.NDArray[np.float16]
    labels: pa.Table
    pictures: npt.NDArray[np.int32]
    queries: Vectors
    query_labels: pa.Table
    query_pictures: npt.NDArray[np.int32]

    @staticmethod
    def open(folder: Path, rows: int) -> VectorSet:
        """The first `rows` of the set in `folder`. Raises ConfigError where it has fewer, or none."""
        try:
            done: int = json.loads((folder / PROGRESS).read_bytes())["rows_done"]
        except FileNotFoundError as error:
            raise ConfigError("vectors", f"{folder} holds none; `vitrine bench vectors` makes them") from error
        if done < rows:
            raise ConfigError("vectors", f"{folder} holds {done:,} rows, {rows:,} are needed")
        labels = pyarrow.parquet.read_table(folder / ROWS).slice(0, rows)
        query_labels = pyarrow.parquet.read_table(folder / QUERY_ROWS)
        return VectorSet(
            np.asarray(np.load(folder / VECTORS, mmap_mode="r"))[:rows],
            labels.drop_columns(_PLACE_COLUMNS),
            labels["picture"].to_numpy(),
            unit(np.load(folder / QUERIES)),
            query_labels.drop_columns(_PLACE_COLUMNS),
            query_labels["picture"].to_numpy(),
        )

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def rows_of(self, product_ids: list[list[str]]) -> list[Rows]:
        """The row of each product, list by list. Raises ValueError for one that is none of them."""
        flat = pa.array([product_id for found in product_ids for product_id in found], pa.string())
        places = pc.index_in(flat, value_set=self.labels["product_id"].cast(pa.string()))
        if places.null_count:
            raise ValueError("an answer names a product that was never indexed")
        ends = np.cumsum([len(found) for found in product_ids])
        return [np.asarray(part, np.int64) for part in np.split(places.to_numpy(), ends[:-1])]

    def moved(self, count: int, seed: int, among: Rows | None = None) -> Vectors:
        """Rows moved to cosine 0.8: `count` of them, or all if `among` (default: every row) has fewer. float32."""
        random = np.random.default_rng(seed)
        rows = np.arange(self.rows) if among is None else among
        chosen = np.sort(random.choice(rows, min(count, len(rows)), replace=False))
        return moved(unit(self.vectors[chosen].astype(np.float32)), MOVED_COSINE, random)


def labelled_as(labels: pa.Table, column: str, values: list[Any]) -> npt.NDArray[np.bool_]:
    """Which rows have one of `values` in `column`; a row without it has not. Shape (rows,)."""
    found = pc.is_in(labels[column].cast(pa.string()), value_set=pa.array(values, pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)
