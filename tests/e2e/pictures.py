"""Sample pictures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.integration.shop import Drawn


def saved(folder: Path, products: Sequence[Drawn], prefix: str) -> list[str]:
    """Saves each product's first picture. Returns the file names, which are the product ids of an ingest."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{prefix}-{product.product_id}.jpg" for product in products]
    for name, product in zip(names, products, strict=True):
        (folder / name).write_bytes(product.pictures[0])
    return names
