"""The sample catalogue as files: pictures, photos and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vitrine.sample.look import SampleProduct
from vitrine.sample.queries import SampleQuery
from vitrine.sample.studio import VIEWS, draw

COLUMNS: Final = ("image", "product_id", "image_id", "title", "category", "article_type", "colour", "pattern", "price")


def write(folder: Path, products: Sequence[SampleProduct], queries: Sequence[SampleQuery]) -> None:
    """Write `catalogue.csv` (one row for each picture), `images/<product_id>_<view>.jpg` and `queries/<n>.jpg`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "queries").mkdir(exist_ok=True)
    with (folder / "catalogue.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        for product in products:
            for view in range(VIEWS):
                image = f"images/{product.product_id}_{view}.jpg"
                (folder / image).write_bytes(draw(product, view))
                rows.writerow(_row(product, view, image))
    for number, query in enumerate(queries):
        (folder / "queries" / f"{number}.jpg").write_bytes(query.picture)


def _row(product: SampleProduct, view: int, image: str) -> tuple[str, ...]:
    return (
        image,
        product.product_id,
        str(view),
        product.title,
        product.category,
        product.article_type,
        product.colour,
        product.pattern,
        f"{product.price:.2f}",
    )
