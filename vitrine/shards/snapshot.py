"""What is alive of one partition: its shards in age order, what newer ones hide in older ones, and search over it all.

A snapshot is never edited: a new manifest, or the moment something expires, makes a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import nlargest, nsmallest
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vitrine.attributes import Attributes
from vitrine.ranking import rank
from vitrine.shards.keys import key_of
from vitrine.shards.live import LiveBlocks
from vitrine.shards.lookup import newest_place
from vitrine.shards.records import Hit, ProductVersion
from vitrine.shards.scoring import Mask, Rows, best_of_block
from vitrine.shards.shard import Shard
from vitrine.vectors import Vectors

NEVER_US: Final = int(np.iinfo(np.int64).max)

_score = attrgetter("score")


class Found(NamedTuple):
    """A product's best row, not read yet, and the snapshot it was found in."""

    score: float
    shard: Shard
    row: int
    snapshot: Snapshot


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

    vectors: Vectors
    product_starts: Rows
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
        return FreshBlock(np.concatenate(vectors), np.cumsum(np.concatenate(counts)), np.concatenate(places))


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
        return replace(self, shards=tuple(entries), fresh=FreshBlock.of(entries, self.fresh.vectors.shape[1], self))

    @cached_property
    def next_expiry_us(self) -> int:
        return min((entry.next_expiry_us for entry in self.shards), default=NEVER_US)

    @cached_property
    def rows_live(self) -> int:
        return sum(entry.rows_live for entry in self.shards)

    @cached_property
    def products_live(self) -> int:
        return sum(int(np.count_nonzero(entry.live[entry.shard.product_starts[:-1]])) for entry in self.shards)

    def search(self, queries: Vectors, k: int, exact: bool = False) -> list[list[Hit]]:
        """The best `k` products for each of `queries`, float32, shape (q, dim), unit length. Rank order."""
        return [best_hits(found, k) for found in self.find(queries, k, exact)]

    def find(self, queries: Vectors, k: int, exact: bool = False) -> list[list[Found]]:
        """At least the best `k` products for each of `queries`, in no order: for `best_hits`, with those of others."""
        found: list[list[Found]] = [[] for _ in queries]
        if len(self.fresh.vectors):
            bests = best_of_block(self.fresh.vectors, self.fresh.product_starts, None, queries, k)
            for number, best in enumerate(bests):
                places = self.fresh.places[best.rows].tolist()
                for score, (place, row) in zip(best.scores.tolist(), places, strict=True):
                    found[number].append(Found(score, self.shards[place].shard, row, self))
        for entry in self.shards:
            if entry.shard.facts.kind == "fresh" or not entry.rows_live:
                continue
            bests = entry.shard.search(queries, k, entry.mask, entry.live_share, exact)
            for number, best in enumerate(bests):
                for row, score in zip(best.rows.tolist(), best.scores.tolist(), strict=True):
                    found[number].append(Found(score, entry.shard, row, self))
        return found

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


def best_hits(found: list[Found], k: int) -> list[Hit]:
    """The best `k` of what several shards found, in rank order. Only these are read from their shards' columns."""
    if len(found) > k:
        last_score = nlargest(k, map(_score, found))[-1]
        ahead = [entry for entry in found if entry.score > last_score]
        tied = [entry for entry in found if entry.score == last_score]
        found = ahead + nsmallest(k - len(ahead), tied, key=_product_id)
    hits = [_hit(entry) for entry in found]
    hits.sort(key=rank)
    return hits


def _hit(entry: Found) -> Hit:
    score, shard, row, snapshot = entry
    live = snapshot.live_attributes(shard.product_id(row), shard.key(row)) if snapshot.live_blocks.blocks else {}
    return shard.hit(row, score, live)


def _with_fresh_rows(shards: Sequence[LiveShard]) -> list[tuple[int, LiveShard]]:
    """The fresh shards of which something is alive, and their numbers."""
    return [
        (number, entry) for number, entry in enumerate(shards) if entry.shard.facts.kind == "fresh" and entry.rows_live
    ]


def _product_id(entry: Found) -> str:
    return entry.shard.product_id(entry.row)
