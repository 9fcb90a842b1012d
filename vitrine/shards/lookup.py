"""One product, looked up in the shards of its partition: the newest shard that mentions it is right."""

from __future__ import annotations

from collections.abc import Sequence

from vitrine.shards.keys import key_of
from vitrine.shards.records import LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard


def newest_place(shards: Sequence[Shard], product_id: str) -> tuple[int, range] | None:
    """The number of the newest of `shards` (oldest first) that mentions the product, and its rows there.

    No rows: it is withdrawn. None: no shard mentions it.
    """
    key = key_of(product_id)
    for number in range(len(shards) - 1, -1, -1):
        shard = shards[number]
        rows = shard.rows_of(product_id, key)
        if rows or product_id in shard.tombstones:
            return number, rows
    return None


def newest_mention(shards: Sequence[Shard], product_id: str) -> ProductVersion | Tombstone | None:
    """What the newest of `shards` (oldest first) says about the product: with its vectors, expired or not."""
    place = newest_place(shards, product_id)
    if place is None:
        return None
    number, rows = place
    shard = shards[number]
    return shard.version(rows) if rows else Tombstone(product_id, shard.tombstones[product_id])


def newest_live(shards: Sequence[Shard], product_id: str) -> LiveVersion | None:
    """The product's newest live row in `shards` (oldest first). No attributes: it has none any more."""
    key = key_of(product_id)
    for shard in reversed(shards):
        row = None if shard.live is None else shard.live.row_of(product_id, key)
        if shard.live is not None and row is not None:
            return shard.live.version(row)
    return None
