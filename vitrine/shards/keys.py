"""product_id → 64-bit key. Keys find rows fast; a match is always checked against the id itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xxhash

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def key_of(product_id: str) -> int:
    """The xxh3-64 hash of the id's UTF-8 bytes."""
    return xxhash.xxh3_64_intdigest(product_id.encode())


def keys_of(product_ids: Iterable[str]) -> Keys:
    """One key an id. uint64, shape (n,)."""
    return np.fromiter((key_of(product_id) for product_id in product_ids), dtype=np.uint64)


def matches(wanted: Keys, keys: Keys) -> tuple[Places, Places]:
    """Every pair of equal keys: its place in `wanted` and its place in `keys`, which is ascending.

    In the order of `wanted`. Fastest where that is ascending too, and shorter than `keys`.
    """
    begin = np.searchsorted(keys, wanted, "left")
    counts = np.searchsorted(keys, wanted, "right") - begin
    steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(wanted)), counts), np.repeat(begin, counts) + steps
