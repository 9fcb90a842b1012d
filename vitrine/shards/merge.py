"""Several neighbouring shards → one table: what is still alive of them, and what they must still hide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vitrine.shards.live import newest_rows
from vitrine.shards.records import Tombstone
from vitrine.shards.selection import Rows
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import LiveShard
from vitrine.shards.table import ShardTable, no_live_rows, tombstone_batch, with_columns

_PART_ROWS: Final = 65_536


def merged_table(run: Sequence[LiveShard], reaches_oldest: bool) -> ShardTable:
    """What is alive of `run` (neighbours, oldest first, masks taken from the whole partition), in key order.

    Tombstones are kept unless the run reaches the partition's oldest shard: then nothing is left to hide. A row that
    was dropped because it expired leaves a tombstone for the same reason; one superseded by a newer shard needs none.
    """
    # A shard with nothing left has a say in neither the columns nor the precision of the vectors.
    filled = [entry for entry in run if entry.rows_live] or run[:1]
    schema = pa.unify_schemas([entry.shard.table.rows.schema for entry in filled])
    rows, keys, vectors = [], [], []
    for entry in filled:
        chosen = np.flatnonzero(entry.live)
        rows.append(with_columns(entry.shard.table.rows, schema).take(pa.array(chosen)))
        keys.append(entry.shard.table.keys[chosen])
        vectors.append((entry.shard.table.vectors, chosen))
    joined_keys = np.concatenate(keys)
    order = np.argsort(joined_keys, kind="stable")
    return ShardTable(
        pa.concat_batches(rows).take(pa.array(order)),
        joined_keys[order],
        _vectors_in_order(vectors, order),
        tombstone_batch([] if reaches_oldest else _tombstones(run)),
        _live(run, reaches_oldest),
    )


def _vectors_in_order(chosen: Sequence[tuple[Any, Rows]], order: Rows) -> Any:
    """Of each (vectors, rows) those rows, one after the other, in `order`. Shape (n, dim).

    Each is copied once, straight to its place: a million of them take a gigabyte.
    """
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    # float16 only if all are.
    precision = np.result_type(*(vectors.dtype for vectors, _ in chosen))
    ordered = np.empty((len(order), chosen[0][0].shape[1]), precision)
    begin = 0
    for vectors, rows in chosen:
        for part in np.array_split(rows, len(rows) // _PART_ROWS + 1):
            ordered[places[begin : begin + len(part)]] = vectors[part]
            begin += len(part)
    return ordered


def _live(run: Sequence[LiveShard], reaches_oldest: bool) -> pa.RecordBatch:
    """The newest live row of every product, known or not. One that says "none any more" goes with what it hid."""
    batches = [entry.shard.table.live for entry in run if entry.shard.live is not None]
    return newest_rows(batches, keep_empty=not reaches_oldest) if batches else no_live_rows()


def _tombstones(run: Sequence[LiveShard]) -> list[Tombstone]:
    hidden: dict[str, int] = {}
    for entry in run:
        for product_id in entry.shard.products_among(hidden):
            del hidden[product_id]
        hidden.update(chain(entry.shard.tombstones.items(), _expired(entry)))
    return [Tombstone(product_id, offset) for product_id, offset in sorted(hidden.items())]


def _expired(entry: LiveShard) -> list[tuple[str, int]]:
    """(product, offset) of dropped rows that carry an expiry. Superseded ones among them are listed too: harmless."""
    shard: Shard = entry.shard
    expiring = shard.expires_at_us.is_valid().to_numpy(zero_copy_only=False)
    # The rows of a product live and die together: its first one stands for all.
    first = shard.product_starts[:-1]
    rows = first[~entry.live[first] & expiring[first]]
    offsets: list[Any] = shard.table.rows.column("log_offset").take(pa.array(rows)).to_pylist()
    return list(zip(shard.product_ids(rows), offsets, strict=True))
