"""A small data set of drawn squares, as Parquet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

COLOURS = {"Red": (200, 30, 40), "Green": (30, 160, 60), "Blue": (40, 60, 200)}
KINDS = {"Topwear": "Tshirts", "Shoes": "Heels"}
ROWS_PER_SPLIT = {"train": 96, "val": 24, "test": 24}


def drawn(kind: str, colour: str, random: np.random.Generator) -> bytes:
    """A coloured square (Topwear) or a flat box (Shoes) on white, somewhere near the middle. PNG bytes."""
    picture = Image.new("RGB", (60, 80), "white")
    left, top = (int(offset) for offset in random.integers(8, 16, size=2))
    height = 40 if kind == "Topwear" else 20
    ImageDraw.Draw(picture).rectangle((left, top, left + 32, top + height), fill=COLOURS[colour])
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def squares() -> pa.Table:
    """144 drawn products in three colours and two kinds, with every column that training reads."""
    random = np.random.default_rng(3)
    rows = []
    for split, count in ROWS_PER_SPLIT.items():
        for number in range(count):
            colour, kind = list(COLOURS)[number % 3], list(KINDS)[number % 2]
            labels = {"subcategory": kind, "article_type": KINDS[kind], "colour": colour}
            rows.append({"image": drawn(kind, colour, random), "split": split, **labels})
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="session")
def squares_file(squares: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The squares in a Parquet file."""
    path = tmp_path_factory.mktemp("squares") / "squares.parquet"
    pq.write_table(squares, path)
    return path
