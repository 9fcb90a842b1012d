"""A small data set of drawn products, as Parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

ROWS_PER_SPLIT: Final = {"train": 96, "val": 24, "test": 24}
COLOURS: Final = {"Red": (200, 30, 40), "Green": (30, 160, 60), "Blue": (40, 60, 200)}
BRANDS: Final = ("Acme", "Norrland", "Palmetto", "Kestrel")

Box = tuple[int, int, int, int]
Paint = tuple[int, ...]


def _t_shirt(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    left, top, right, bottom = box
    sleeve = (right - left) // 5
    draw.rectangle((left, top, right, top + sleeve * 2), fill=paint)
    draw.rectangle((left + sleeve, top, right - sleeve, bottom), fill=paint)


def _shirt(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    """A T-shirt with a dark placket."""
    _t_shirt(draw, box, paint)
    middle = (box[0] + box[2]) // 2
    draw.rectangle((middle - 2, box[1], middle + 2, box[3]), fill=tuple(part // 3 for part in paint))


def _heel(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    left, _, right, bottom = box
    top = bottom - right + left
    draw.polygon(
        [(left, top), (right, bottom - 12), (right, bottom), (left + 8, bottom - 8), (left, bottom)], fill=paint
    )


def _flat(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    left, _, right, bottom = box
    draw.rectangle((left, bottom - (right - left) // 2, right, bottom), fill=paint)


def _handbag(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    left, top, right, bottom = box
    draw.arc((left + 6, top, right - 6, bottom), 180, 360, fill=paint, width=4)
    draw.rectangle((left, (top + bottom) // 2, right, bottom), fill=paint)


def _backpack(draw: ImageDraw.ImageDraw, box: Box, paint: Paint) -> None:
    left, top, right, bottom = box
    draw.ellipse(box, fill=paint)
    middle = (top + bottom) // 2
    draw.rectangle((left + 8, middle, right - 8, bottom - 8), fill=tuple(part // 3 for part in paint))


ARTICLES: Final[Mapping[str, tuple[str, Callable[[ImageDraw.ImageDraw, Box, Paint], None]]]] = {
    "Tshirts": ("Topwear", _t_shirt),
    "Shirts": ("Topwear", _shirt),
    "Heels": ("Shoes", _heel),
    "Flats": ("Shoes", _flat),
    "Handbags": ("Bags", _handbag),
    "Backpacks": ("Bags", _backpack),
}


def drawn(article: str, colour: str, random: np.random.Generator) -> bytes:
    """One product on white, 60x80: its place, size and shade vary a little. PNG bytes."""
    picture = Image.new("RGB", (60, 80), "white")
    left, top, side = (int(value) for value in random.integers((3, 4, 40), (9, 16, 49)))
    shade = random.uniform(0.8, 1.1)
    paint = tuple(min(235, int(part * shade)) for part in COLOURS[colour])
    ARTICLES[article][1](ImageDraw.Draw(picture), (left, top, left + side, top + round(side * 1.3)), paint)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def squares() -> pa.Table:
    """144 drawn products with every column that training reads.

    Six article types of three subcategories, in three colours: each of the eighteen is in each split.
    """
    random = np.random.default_rng(3)
    kinds = [(article, colour) for colour in COLOURS for article in ARTICLES]
    rows = []
    for split, count in ROWS_PER_SPLIT.items():
        for number in range(count):
            article, colour = kinds[number % len(kinds)]
            brand = BRANDS[int(random.integers(len(BRANDS)))]
            rows.append(
                {
                    "image": drawn(article, colour, random),
                    "split": split,
                    "subcategory": ARTICLES[article][0],
                    "article_type": article,
                    "colour": colour,
                    "title": f"{brand} Women {colour} {article}",
                }
            )
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="session")
def squares_file(squares: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn products in a Parquet file."""
    path = tmp_path_factory.mktemp("squares") / "squares.parquet"
    pq.write_table(squares, path)
    return path
