"""product_id → 64-bit key. Keys find rows fast; a match is always checked against the id itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xxhash

Keys = npt.NDArray[np.uint64]


def key_of(product_id: str) -> int:
    """The xxh3-64 hash of the id's UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(product_id.encode())


def keys_of(product_ids: Iterable[str]) -> Keys:
    """One key an id. uint64, shape (n,)."""
    return np.fromiter((key_of(product_id) for product_id in product_ids), dtype=np.uint64)
