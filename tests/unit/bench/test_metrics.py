"""The bench of metrics: how often labels agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.unit.bench.tiny_set import write_tiny_set
from vitrine.cli.bench.metrics import label_precision
from vitrine.cli.bench.vector_set import VectorSet


def test_a_view_of_the_querys_own_picture_does_not_count(tmp_path: Path) -> None:
    source = VectorSet.open(write_tiny_set(tmp_path, 300), 300)
    # Picture 0 shows Shirts, as 1 and 2 do; 3 shows Shoes. Rows 0, 100 and 200 are views of picture 0.
    shirts, shoes = [1, 2, 101, 102, 201], [3, 103, 203, 9, 109]

    found = [np.array([0, 100, *shirts, *shoes])]

    assert source.query_labels["article_type"][0].as_py() == "Shirts"
    assert label_precision(source, found, "article_type") == 0.5


def test_only_the_first_ten_others_count(tmp_path: Path) -> None:
    source = VectorSet.open(write_tiny_set(tmp_path, 300), 300)
    found = [np.array([3, 103, 203, 9, 109, 209, 15, 115, 215, 21, 1, 2])]

    assert label_precision(source, found, "article_type") == 0


def test_a_query_without_the_label_does_not_count(tmp_path: Path) -> None:
    source = VectorSet.open(write_tiny_set(tmp_path, 300), 300)
    unlabelled = source.query_labels.set_column(
        source.query_labels.column_names.index("article_type"),
        "article_type",
        pa.array([None, "Shirts", *["Shoes"] * (source.query_labels.num_rows - 2)]),
    )
    source = VectorSet(
        source.vectors, source.labels, source.pictures, source.queries, unlabelled, source.query_pictures
    )

    assert label_precision(source, [np.array([3] * 10), np.array([2] * 10)], "article_type") == 1
