"""What changes by the minute about products: the live rows of shards, found by product.

A live row is all that its product has; the newest one counts, and one without attributes says that there are none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vitrine.attributes import Attributes
from vitrine.shards.cells import attributes_reader, reader
from vitrine.shards.conditions import kinds_of
from vitrine.shards.records import LiveVersion
from vitrine.shards.table import attribute_columns, with_columns

# Neighbouring shards with up to this many live rows together are merged in memory, so that an answer looks in one place
# instead of twenty. It takes about 3 ms, and the block with the newest shard is merged anew at every swap.
BLOCK_ROWS: Final = 32_768

_NOTHING: Final[Attributes] = {}


class LiveRows:
    """Live rows in key order, one a product: those of a shard, or of several merged."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self._keys: memoryview = batch.column("key").to_numpy().data
        self._product_id = reader(batch.column("product_id"))
        self._log_offset = reader(batch.column("log_offset"))
        self._attributes = attributes_reader(batch)
        self.kinds = kinds_of(batch)

    def __len__(self) -> int:
        return len(self._keys)

    def row_of(self, product_id: str, key: int) -> int | None:
        """`key`: the product's key."""
        keys = self._keys
        row = bisect_left(keys, key)
        while row < len(keys) and keys[row] == key:
            if self._product_id(row) == product_id:
                return row
            row += 1
        return None

    def attributes(self, row: int) -> Attributes:
        return self._attributes(row)

    def version(self, row: int) -> LiveVersion:
        return LiveVersion(self._product_id(row), self._log_offset(row), self._attributes(row))


@dataclass(frozen=True, eq=False)
class _Block:
    """Neighbouring shards' live rows, and the newest of them by product."""

    sources: tuple[LiveRows, ...]
    merged: LiveRows


@dataclass(frozen=True, eq=False)
class LiveBlocks:
    """The live rows of one partition. `blocks`: oldest first."""

    blocks: tuple[_Block, ...] = ()

    @staticmethod
    def of(sources: Iterable[LiveRows], previous: LiveBlocks | None = None) -> LiveBlocks:
        """`sources`: oldest first. `previous` saves the work on neighbours that both have in common."""
        known = {block.sources: block for block in previous.blocks} if previous else {}
        return LiveBlocks(tuple(known.get(group) or _block(group) for group in _groups(sources)))

    def attributes_of(self, product_id: str, key: int) -> Attributes:
        """The product's live attributes; empty if it has none."""
        for block in reversed(self.blocks):
            row = block.merged.row_of(product_id, key)
            if row is not None:
                return block.merged.attributes(row)
        return _NOTHING


def newest_rows(batches: Sequence[pa.RecordBatch], keep_empty: bool) -> pa.RecordBatch:
    """The newest live row of every product in `batches`, oldest first; one batch, in key order.

    `keep_empty`: rows without attributes too, which hide what older shards say.
    """
    newest_first = list(reversed(batches))
    schema = pa.unify_schemas([batch.schema for batch in newest_first])
    rows = pa.concat_batches([with_columns(batch, schema) for batch in newest_first])
    chosen = np.flatnonzero(_first_of_each(rows.column("product_id")) & (keep_empty | _filled(rows)))
    order = chosen[np.argsort(rows.column("key").to_numpy()[chosen], kind="stable")]
    return _without_empty_columns(rows.take(pa.array(order)))


def _block(sources: tuple[LiveRows, ...]) -> _Block:
    if len(sources) == 1:
        return _Block(sources, sources[0])
    return _Block(sources, LiveRows(newest_rows([rows.batch for rows in sources], keep_empty=True)))


def _groups(sources: Iterable[LiveRows]) -> list[tuple[LiveRows, ...]]:
    """Neighbours of up to BLOCK_ROWS together. From the oldest on: a new shard changes only the last group."""
    groups: list[list[LiveRows]] = []
    room = 0
    for rows in sources:
        if not groups or len(rows) > room:
            groups.append([])
            room = BLOCK_ROWS
        groups[-1].append(rows)
        room -= len(rows)
    return [tuple(group) for group in groups]


def _first_of_each(product_ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Where each id stands for the first time. By ids, not by keys: two products may share a key."""
    codes = product_ids.dictionary_encode().indices.to_numpy()
    # Ids are numbered as they come, so a new one has a number above all before it.
    first = np.ones(len(codes), np.bool_)
    first[1:] = codes[1:] > np.maximum.accumulate(codes)[:-1]
    return first


def _filled(rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Whether each row has any attribute."""
    columns = [rows.column(index) for index, _ in attribute_columns(rows.schema)]
    valid = (column.is_valid().to_numpy(zero_copy_only=False) for column in columns)
    return reduce(np.logical_or, valid, np.zeros(rows.num_rows, np.bool_))


def _without_empty_columns(rows: pa.RecordBatch) -> pa.RecordBatch:
    """A name that no product has any more costs every answer a look at its column."""
    unused = [index for index, _ in attribute_columns(rows.schema) if rows.column(index).null_count == rows.num_rows]
    return rows.drop_columns([rows.schema.names[index] for index in unused]) if unused else rows
