"""What is alive of one partition: its shards in age order, and what newer ones hide in older ones.

A snapshot is never edited: a new manifest, or the moment something expires, makes a new one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from vitrine.attributes import Attributes
from vitrine.shards.keys import key_of
from vitrine.shards.live import LiveBlocks
from vitrine.shards.lookup import newest_place
from vitrine.shards.records import ProductVersion
from vitrine.shards.scoring import Gallery
from vitrine.shards.selection import Mask
from vitrine.shards.shard import Shard

NEVER_US: Final = int(np.iinfo(np.int64).max)
MAX_CATEGORIES: Final = 1_000


@dataclass(frozen=True, eq=False)
class LiveShard:
    """A shard and which of its rows may be answered. `next_expiry_us`: when the next live row expires."""

    shard: Shard
    live: Mask
    rows_live: int
    next_expiry_us: int

    @staticmethod
    def of(shard: Shard, live: Mask, now_us: int) -> LiveShard:
        """`live` less the rows that have expired at `now_us`."""
        next_expiry_us = NEVER_US
        if shard.expires_at_us.null_count < shard.rows:
            expires = shard.expires_at_us.fill_null(NEVER_US).to_numpy(zero_copy_only=False)
            live = live & (expires > now_us)
            next_expiry_us = int(expires[live].min(initial=NEVER_US))
        return LiveShard(shard, live, int(np.count_nonzero(live)), next_expiry_us)

    @property
    def live_share(self) -> float:
        return self.rows_live / max(1, self.shard.rows)

    @property
    def mask(self) -> Mask | None:
        """`live`, or None where every row is."""
        return None if self.rows_live == self.shard.rows else self.live


@dataclass(frozen=True, eq=False)
class FreshBlock:
    """The live rows of all fresh shards in one matrix, so that one product scores them all.

    `places`: int32, shape (rows, 2): (number of the shard in the snapshot, row in it).
    """

    gallery: Gallery
    places: npt.NDArray[np.int32]

    @staticmethod
    def of(shards: Sequence[LiveShard], dim: int, previous: Snapshot | None = None) -> FreshBlock:
        """`previous` saves the work if it has the same fresh rows."""
        chosen = _with_fresh_rows(shards)
        # What is compared are the entries themselves: a shard of which other rows are live has another entry.
        if previous and chosen == _with_fresh_rows(previous.shards):
            return previous.fresh
        vectors, places, counts = (
            [np.zeros((0, dim), np.float32)],
            [np.zeros((0, 2), np.int32)],
            [np.zeros(1, np.int64)],
        )
        for number, entry in chosen:
            rows = np.flatnonzero(entry.live)
            # Copied once, where all are stacked: searches wait while a thread copies.
            vectors.append(entry.shard.table.vectors if entry.mask is None else entry.shard.table.vectors[rows])
            places.append(np.stack([np.full(len(rows), number), rows], axis=1).astype(np.int32))
            # Rows of a product live and die together, so the products' sizes are unchanged.
            sizes = np.diff(entry.shard.product_starts)
            counts.append(sizes[entry.live[entry.shard.product_starts[:-1]]])
        gallery = Gallery.of(np.concatenate(vectors), np.cumsum(np.concatenate(counts)))
        return FreshBlock(gallery, np.concatenate(places))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one partition answers from. `shards`: oldest first."""

    shards: tuple[LiveShard, ...]
    fresh: FreshBlock
    live_blocks: LiveBlocks

    @staticmethod
    def of(shards: Sequence[Shard], dim: int, now_us: int, previous: Snapshot | None = None) -> Snapshot:
        """The live rows of `shards`, oldest first. `previous` saves the work on shards that both have in common."""
        known = {entry.shard: entry for entry in previous.shards} if previous else {}
        entries = []
        for number, shard in enumerate(shards):
            entry = known.get(shard)
            newer = [other for other in shards[number + 1 :] if other.mentions_products]
            unseen = newer if entry is None else [other for other in newer if other not in known]
            if entry is None or unseen or now_us >= entry.next_expiry_us:
                live = np.ones(shard.rows, np.bool_) if entry is None else entry.live.copy()
                for other in unseen:
                    live[shard.rows_mentioned_by(other)] = False
                entry = LiveShard.of(shard, live, now_us)
            entries.append(entry)
        live_rows = [shard.live for shard in shards if shard.live is not None]
        return Snapshot(
            tuple(entries),
            FreshBlock.of(entries, dim, previous),
            LiveBlocks.of(live_rows, previous.live_blocks if previous else None),
        )

    def at(self, now_us: int) -> Snapshot:
        """Itself, or a snapshot without what has expired by `now_us`."""
        if now_us < self.next_expiry_us:
            return self
        entries = [
            LiveShard.of(entry.shard, entry.live, now_us) if now_us >= entry.next_expiry_us else entry
            for entry in self.shards
        ]
        return replace(
            self, shards=tuple(entries), fresh=FreshBlock.of(entries, self.fresh.gallery.vectors.shape[1], self)
        )

    @cached_property
    def next_expiry_us(self) -> int:
        return min((entry.next_expiry_us for entry in self.shards), default=NEVER_US)

    @cached_property
    def rows_live(self) -> int:
        return sum(entry.rows_live for entry in self.shards)

    @cached_property
    def products_live(self) -> int:
        return sum(int(np.count_nonzero(entry.live[entry.shard.product_starts[:-1]])) for entry in self.shards)

    @cached_property
    def rows_by_category(self) -> list[tuple[str, int]]:
        """Rows of each of the largest categories, then by name. Rows that are dead but not gone yet count too."""
        counts = Counter[str]()
        for entry in self.shards:
            counts.update(entry.shard.rows_by_category)
        # A shop whose category is a text of its own for each product must not cost everybody a sort of them all.
        return heapq.nsmallest(MAX_CATEGORIES, counts.items(), key=lambda item: (-item[1], item[0]))

    def product(self, product_id: str) -> ProductVersion | None:
        """The product as it is now, or None if it is unknown, withdrawn or expired."""
        place = newest_place([entry.shard for entry in self.shards], product_id)
        if place is None:
            return None
        number, rows = place
        entry = self.shards[number]
        return entry.shard.version(rows) if rows and entry.live[rows[0]] else None

    def live_attributes(self, product_id: str, key: int | None = None) -> Attributes:
        """What changes by the minute about a product, known here or not; empty if there is nothing.

        `key`: the product's key, where it is known.
        """
        return self.live_blocks.attributes_of(product_id, key_of(product_id) if key is None else key)


def _with_fresh_rows(shards: Sequence[LiveShard]) -> list[tuple[int, LiveShard]]:
    """The fresh shards of which something is alive, and their numbers."""
    return [
        (number, entry) for number, entry in enumerate(shards) if entry.shard.facts.kind == "fresh" and entry.rows_live
    ]
