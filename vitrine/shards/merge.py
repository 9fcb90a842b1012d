"""Several neighbouring shards → one table: what is still alive of them, and what they must still hide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from vitrine.shards.records import Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import LiveShard
from vitrine.shards.table import ShardTable, in_key_order, tombstone_batch, with_columns


def merged_table(run: Sequence[LiveShard], reaches_oldest: bool) -> ShardTable:
    """The live rows of `run` (neighbours, oldest first, masks taken from the whole partition), in key order.

    Tombstones are kept unless the run reaches the partition's oldest shard: then nothing is left to hide. A row that
    was dropped because it expired leaves a tombstone for the same reason; one superseded by a newer shard needs none.
    """
    schema = pa.unify_schemas([entry.shard.table.rows.schema for entry in run])
    rows, keys, vectors = [], [], []
    for entry in run:
        chosen = np.flatnonzero(entry.live)
        rows.append(with_columns(entry.shard.table.rows, schema).take(pa.array(chosen)))
        keys.append(entry.shard.table.keys[chosen])
        vectors.append(entry.shard.table.vectors[chosen])
    tombstones = [] if reaches_oldest else _tombstones(run)
    # Vectors keep float16 only if all are: fresh ones lose nothing before they are rolled.
    return in_key_order(
        pa.concat_batches(rows), np.concatenate(keys), np.concatenate(vectors), tombstone_batch(tombstones)
    )


def _tombstones(run: Sequence[LiveShard]) -> list[Tombstone]:
    hidden: dict[str, int] = {}
    for entry in run:
        shard = entry.shard
        for product_id in [product_id for product_id in hidden if shard.rows_of(product_id)]:
            del hidden[product_id]
        hidden.update(chain(shard.tombstones.items(), _expired(entry)))
    return [Tombstone(product_id, offset) for product_id, offset in sorted(hidden.items())]


def _expired(entry: LiveShard) -> list[tuple[str, int]]:
    """(product, offset) of dropped rows that carry an expiry. Superseded ones among them are listed too: harmless."""
    shard: Shard = entry.shard
    expiring = shard.expires_at_us.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(~entry.live & expiring)
    offsets: list[Any] = shard.table.rows.column("log_offset").take(pa.array(rows)).to_pylist()
    return list(zip(shard.product_ids(rows), offsets, strict=True))
