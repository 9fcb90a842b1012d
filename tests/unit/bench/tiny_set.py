"""A vector set as `vitrine bench vectors` writes one, but small and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tests.builders import clustered
from vitrine.cli.bench.vectors import PROGRESS, QUERIES, QUERY_ROWS, ROWS, VECTORS

QUERY_COUNT = 40
PICTURES = 100
TYPES = ("Shirts", "Shirts", "Shirts", "Shoes", "Shoes", "Watches")


def write_tiny_set(folder: Path, rows: int, done: int | None = None, dim: int = 32) -> Path:
    """`rows` rows, each a view of one of 100 pictures, of which the first `done` (default: all) are written."""
    everything = clustered(np.random.default_rng(5), rows + QUERY_COUNT, dim, rank=8)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / VECTORS, everything[:rows].astype(np.float16))
    np.save(folder / QUERIES, everything[rows:])
    pa.parquet.write_table(_labels(rows), folder / ROWS)
    pa.parquet.write_table(_labels(QUERY_COUNT), folder / QUERY_ROWS)
    (folder / PROGRESS).write_text(json.dumps({"rows_done": rows if done is None else done}))
    return folder


def _labels(rows: int) -> pa.Table:
    views, pictures = np.divmod(np.arange(rows), PICTURES)
    return pa.table(
        {
            "product_id": [f"{picture}-{view}" for picture, view in zip(pictures, views, strict=True)],
            "picture": pictures.astype(np.int32),
            "view": views.astype(np.int32),
            "category": ["Apparel" if picture % 6 < 3 else "Other" for picture in pictures],
            "article_type": [TYPES[picture % 6] for picture in pictures],
        }
    )
