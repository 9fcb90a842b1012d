"""A filter → which live rows of a shard may be answered.

A condition is evaluated once a shard: a bit a row is kept, which is combined with what is live in microseconds.
Live attributes count as the newest live row of the product has them. Products and live rows are matched once for each
shard and block of live rows, so an update costs a look at the newest block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, reduce
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.filters import ATTRIBUTES, CATEGORY, LIVE, Condition, Filter
from vitrine.shards.conditions import rows_meeting
from vitrine.shards.keys import matches
from vitrine.shards.live import LiveBlocks, LiveRows
from vitrine.shards.selection import Mask, Selection
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import FreshBlock, LiveShard, Snapshot
from vitrine.shards.weak_cache import Key, WeakCache

BOUND_BYTES: Final = 256 << 20

_NO_FILTER: Final = Filter()

# A bit a row, the first row lowest; bits beyond the last row mean nothing.
_Bits = npt.NDArray[np.uint8]


class Selected(NamedTuple):
    """A selection, whether it was at hand, and the microseconds it took to make where it was not."""

    selection: Selection
    cached: bool
    mask_us: float


class _LiveOfShard(NamedTuple):
    """A block's live rows that are of a shard's products.

    products, live_rows   int32, shape (pairs,): which live row is of which product
    named                 the rows of those products
    """

    products: npt.NDArray[np.int32]
    live_rows: npt.NDArray[np.int32]
    named: _Bits


class Masks:
    """Makes selections, and keeps them and what they are made of: at most `bound_bytes`."""

    def __init__(self, bound_bytes: int = BOUND_BYTES) -> None:
        self._kept = WeakCache(bound_bytes)

    @property
    def size_bytes(self) -> int:
        return self._kept.size_bytes

    def select(self, entry: LiveShard, live_blocks: LiveBlocks, wanted: Filter | None) -> Selected:
        """The rows of one shard. `live_blocks`: of the snapshot that `entry` is of."""
        wanted = wanted or _NO_FILTER
        return self._selected(entry, live_blocks, wanted, lambda: self._mask(entry, live_blocks, wanted))

    def select_fresh(self, snapshot: Snapshot, wanted: Filter | None) -> Selected:
        """The rows of the snapshot's FreshBlock."""
        wanted = wanted or _NO_FILTER
        return self._selected(snapshot.fresh, snapshot.live_blocks, wanted, lambda: self._fresh_mask(snapshot, wanted))

    def _selected(
        self, owner: LiveShard | FreshBlock, live_blocks: LiveBlocks, wanted: Filter, make: Callable[[], Mask]
    ) -> Selected:
        # Whatever else changes by the minute, a filter that names none of it has the same rows.
        live_rows = [block.merged for block in live_blocks.blocks] if wanted.names_live else ()
        key = Key.of(("selected", wanted.key), owner, *live_rows)
        selection = self._kept.get(key)
        if selection is not None:
            return Selected(selection, True, 0.0)
        began = perf_counter()
        mask = make()
        made = Selection(mask, int(np.count_nonzero(mask)), partial(self._kept.grow, key))
        selection = self._kept.put(key, made, 0 if made.mask is None else mask.nbytes)
        return Selected(selection, False, (perf_counter() - began) * 1e6)

    def _mask(self, entry: LiveShard, live_blocks: LiveBlocks, wanted: Filter) -> Mask:
        met = partial(self._bits, entry.shard, live_blocks)
        demands = [met(condition) for condition in wanted.all_of]
        if wanted.any_of:
            demands.append(reduce(np.bitwise_or, map(met, wanted.any_of)))
        demands += [~met(condition) for condition in wanted.none_of]
        return entry.live & _unpacked(reduce(np.bitwise_and, demands), entry.shard.rows) if demands else entry.live

    def _fresh_mask(self, snapshot: Snapshot, wanted: Filter) -> Mask:
        masks = [np.zeros(0, np.bool_)]
        for number in np.unique(snapshot.fresh.places[:, 0]).tolist():
            entry = snapshot.shards[number]
            masks.append(self._mask(entry, snapshot.live_blocks, wanted)[entry.live])
        return np.concatenate(masks)

    def _bits(self, shard: Shard, live_blocks: LiveBlocks, condition: Condition) -> _Bits:
        """Which rows of the shard meet the condition."""
        if not condition.field.startswith(LIVE):
            return self._met(shard, shard.table.rows, condition)
        found = _packed(np.zeros(shard.rows, np.bool_))
        for block in live_blocks.blocks:
            # Oldest first: what a newer row says of a product stands, also that there is nothing to say.
            of_shard = self._of_shard(shard, block.merged)
            found = found & ~of_shard.named | self._met_live(shard, block.merged, of_shard, condition)
        return found

    def _met(self, owner: Shard | LiveRows, batch: pa.RecordBatch, condition: Condition) -> _Bits:
        """Which rows of `batch`, the owner's, meet the condition."""
        key = Key.of(("met", condition.key), owner)
        bits: _Bits | None = self._kept.get(key)
        if bits is None:
            met = rows_meeting(batch, condition)
            bits = _packed(np.zeros(batch.num_rows, np.bool_) if met is None else met)
            self._kept.put(key, bits, bits.nbytes)
        return bits

    def _met_live(self, shard: Shard, live: LiveRows, of_shard: _LiveOfShard, condition: Condition) -> _Bits:
        """Which rows of the shard have a row in `live` that meets the condition."""
        key = Key.of(("met", condition.key), shard, live)
        bits: _Bits | None = self._kept.get(key)
        if bits is None:
            met = _unpacked(self._met(live, live.batch, condition), len(live))
            bits = _bits_of_rows(shard, of_shard.products[met[of_shard.live_rows]])
            self._kept.put(key, bits, bits.nbytes)
        return bits

    def _of_shard(self, shard: Shard, live: LiveRows) -> _LiveOfShard:
        key = Key.of("live", shard, live)
        found: _LiveOfShard | None = self._kept.get(key)
        if found is None:
            found = _live_of_shard(shard, live)
            self._kept.put(key, found, sum(array.nbytes for array in found))
        return found


def fields_of(snapshot: Snapshot, names: Iterable[str]) -> dict[str, set[str]]:
    """The kinds of value ("string", "number", "bool", "string_list") that each field has here; none: it is unknown.

    Rows that are dead but not gone yet count too.
    """
    return {name: _kinds(snapshot, name) for name in names}


def all_fields(snapshot: Snapshot) -> dict[str, set[str]]:
    """Every field known here, and the kinds of its values."""
    names = {CATEGORY}
    for entry in snapshot.shards:
        names.update(ATTRIBUTES + name for name in entry.shard.kinds)
    for block in snapshot.live_blocks.blocks:
        names.update(LIVE + name for name in block.merged.kinds)
    return {name: kinds for name, kinds in fields_of(snapshot, sorted(names)).items() if kinds}


def _kinds(snapshot: Snapshot, field: str) -> set[str]:
    if field == CATEGORY:
        return {"string"} if any(entry.shard.rows for entry in snapshot.shards) else set()
    if field.startswith(LIVE):
        name, known = field.removeprefix(LIVE), [block.merged.kinds for block in snapshot.live_blocks.blocks]
    else:
        name, known = field.removeprefix(ATTRIBUTES), [entry.shard.kinds for entry in snapshot.shards]
    return set().union(*(kinds.get(name, ()) for kinds in known))


def _live_of_shard(shard: Shard, live: LiveRows) -> _LiveOfShard:
    starts = shard.product_starts[:-1]
    product_keys, live_keys = shard.table.keys[starts], live.batch.column("key").to_numpy()
    if len(live_keys) <= len(product_keys):
        live_rows, products = matches(live_keys, product_keys)
    else:
        products, live_rows = matches(product_keys, live_keys)
    # Two products may share a key.
    ids = shard.table.rows.column("product_id").take(pa.array(starts[products]))
    same = pc.equal(ids, live.batch.column("product_id").take(pa.array(live_rows))).to_numpy(zero_copy_only=False)
    products, live_rows = products[same], live_rows[same]
    return _LiveOfShard(products.astype(np.int32), live_rows.astype(np.int32), _bits_of_rows(shard, products))


def _bits_of_rows(shard: Shard, products: npt.NDArray[Any]) -> _Bits:
    """Which rows of the shard are of one of `products`."""
    chosen = np.zeros(len(shard.product_starts) - 1, np.bool_)
    chosen[products] = True
    return _packed(chosen if len(chosen) == shard.rows else np.repeat(chosen, np.diff(shard.product_starts)))


def _packed(mask: Mask) -> _Bits:
    return np.packbits(mask, bitorder="little")


def _unpacked(bits: _Bits, rows: int) -> Mask:
    return np.unpackbits(bits, count=rows, bitorder="little").view(np.bool_)
