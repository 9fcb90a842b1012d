"""All products of a partition, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vitrine.filters import Filter
from vitrine.shards.masks import Masks
from vitrine.shards.records import ProductVersion
from vitrine.shards.snapshot import Snapshot


def products_of(snapshot: Snapshot, wanted: Filter | None, masks: Masks) -> Iterator[ProductVersion]:
    """Every live product that meets the filter (None: every one), with its vectors, in no order."""
    for entry in snapshot.shards:
        shard, mask = entry.shard, masks.select(entry, snapshot.live_blocks, wanted).selection.mask
        starts = shard.product_starts
        # Rows of a product live and die together, and a filter is met by all of them or by none.
        chosen = np.arange(len(starts) - 1) if mask is None else np.flatnonzero(mask[starts[:-1]])
        for number in chosen.tolist():
            yield shard.version(range(int(starts[number]), int(starts[number + 1])))
