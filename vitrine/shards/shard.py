"""A shard that has been verified and mapped into memory: the rows, and the search over them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.attributes import Attributes
from vitrine.runtime.errors import CorruptShard
from vitrine.shards import files
from vitrine.shards.cells import attributes_reader, reader
from vitrine.shards.files import SearchPlan, ShardFacts, TreeEffort
from vitrine.shards.keys import Keys, key_of, keys_of
from vitrine.shards.live import LiveRows
from vitrine.shards.records import Hit, ImageRow, ProductVersion
from vitrine.shards.scoring import Best, Mask, Rows, best_of_block, best_of_rows, product_starts_of
from vitrine.shards.table import ShardTable, no_live_rows
from vitrine.shards.tree import Tree
from vitrine.vectors import Vectors

# A tree that must return more than this share of its rows costs more than scoring them all.
_EXACT_SHARE: Final = 0.25


class Shard:
    """One immutable shard. Safe to search from several threads at once."""

    def __init__(self, facts: ShardFacts, table: ShardTable, tree: Tree | None, projection: Vectors | None) -> None:
        self.facts = facts
        self.table = table
        self._tree = tree
        self._projection = projection
        self._columns = [table.rows.column(index) for index in range(table.rows.num_columns)]
        self._at = {name: index for index, name in enumerate(table.rows.schema.names)}
        self._cells = {name: reader(self._columns[index]) for name, index in self._at.items()}
        self._attributes_of = attributes_reader(table.rows)
        self._keys = table.keys.data
        self.live = LiveRows(table.live) if table.live.num_rows else None
        self.product_starts = product_starts_of(table.keys, self._columns[self._at["product_id"]])
        products = len(self.product_starts) - 1
        self._product_of_row = None if products == len(table.keys) else _ordinals(self.product_starts)
        self.tombstones: dict[str, int] = dict(zip(*table.tombstones.to_pydict().values(), strict=True))

    @staticmethod
    def open(folder: Path) -> Shard:
        """Verifies every file, then maps them. Raises CorruptShard; a shard that raises is never partly used."""
        facts_file = folder / files.FACTS_FILE
        try:
            facts = ShardFacts.from_json(facts_file.read_bytes(), f"shard {folder.name}")
        except FileNotFoundError as error:
            raise CorruptShard(f"{files.FACTS_FILE} of shard {folder.name} is missing") from error
        for name, file_facts in facts.files.items():
            files.verify(folder / name, file_facts)
        try:
            return _opened(folder, facts)
        except (pa.ArrowInvalid, ValueError, KeyError, OSError) as error:
            raise CorruptShard(f"shard {folder.name} cannot be read ({error})") from error

    @property
    def rows(self) -> int:
        return len(self.table.keys)

    @property
    def expires_at_us(self) -> pa.Array:
        """When each row expires, microseconds since 1970; null = never."""
        return self._columns[self._at["expires_at_us"]]

    def product_ids(self, rows: Rows | None = None) -> list[str]:
        """The product id of each of `rows` (None: of every row)."""
        column = self._columns[self._at["product_id"]]
        ids: list[str] = (column if rows is None else column.take(pa.array(rows))).to_pylist()
        return ids

    def product_id(self, row: int) -> str:
        product_id: str = self._cell("product_id", row)
        return product_id

    def key(self, row: int) -> int:
        """The key of the product in `row`."""
        key: int = self._keys[row]
        return key

    def rows_of(self, product_id: str, key: int | None = None) -> range:
        """The rows of one product; empty if it has none here. `key`: the product's key, where it is known."""
        keys = self._keys
        key = key_of(product_id) if key is None else key
        row = bisect_left(keys, key)
        while row < len(keys) and keys[row] == key:
            end = self._end_of_product(row)
            if self.product_id(row) == product_id:
                return range(row, end)
            row = end
        return range(0)

    @property
    def mentions_products(self) -> bool:
        """Whether it can hide anything in older shards; live rows alone do not."""
        return bool(self.rows or self.tombstones)

    def rows_mentioned_by(self, newer: Shard) -> Rows:
        """Rows here whose product has rows or a tombstone in `newer`: they are superseded."""
        ids = newer.product_ids(newer.product_starts[:-1]) + list(newer.tombstones)
        keys = np.concatenate([newer.table.keys[newer.product_starts[:-1]], keys_of(newer.tombstones)])
        return self._rows_matching(ids, keys)

    def products_among(self, product_ids: Collection[str]) -> set[str]:
        """Those of `product_ids` that have rows here."""
        return set(self.product_ids(self._rows_matching(list(product_ids), keys_of(product_ids))))

    def search(self, queries: Vectors, k: int, live: Mask | None, live_share: float, exact: bool) -> list[Best]:
        """The best `k` products for each of `queries`, shape (q, dim), among rows that are `live`."""
        effort = None if exact else self._effort(k, live_share)
        if effort is None:
            return best_of_block(self.table.vectors, self.product_starts, live, queries, k)
        assert self._projection is not None
        projected = queries @ self._projection
        return [self._tree_search(query, near, k, live, effort) for query, near in zip(queries, projected, strict=True)]

    def hit(self, row: int, score: float, live: Attributes) -> Hit:
        """The answer that stands in `row`, with the product's live attributes."""
        cell = self._cell
        return Hit(
            product_id=cell("product_id", row),
            image_id=cell("image_id", row),
            uri=cell("uri", row),
            sha256=cell("sha256", row),
            score=max(-1.0, min(1.0, score)),
            category=cell("category", row),
            attributes=self._attributes_of(row),
            live=live,
        )

    def version(self, rows: Sequence[int]) -> ProductVersion:
        """The product whose rows these are."""
        cell, first = self._cell, rows[0]
        vectors = np.asarray(self.table.vectors[rows[0] : rows[-1] + 1], dtype=np.float32)
        return ProductVersion(
            product_id=cell("product_id", first),
            log_offset=cell("log_offset", first),
            category=cell("category", first),
            attributes=self._attributes_of(first),
            images=tuple(
                ImageRow(cell("image_id", row), cell("uri", row), cell("sha256", row), vector)
                for row, vector in zip(rows, vectors, strict=True)
            ),
            event_time_us=cell("event_time_us", first),
            expires_at_us=cell("expires_at_us", first),
        )

    def _effort(self, k: int, live_share: float) -> TreeEffort | None:
        """What to spend on a tree search for `k`, or None where scoring every row is the better way."""
        plan = self.facts.plan
        if self._tree is None or plan.method == "exact":
            return None
        measured = next((effort for effort in plan.efforts if effort.k >= k), plan.efforts[-1])
        if measured.search_k == 0:
            return None
        # Dead rows are found and thrown away, so their share is made up for; beyond the largest measured k, linearly.
        factor = max(1.0, k / measured.k) / max(live_share, 0.05)
        rerank, search_k = int(measured.rerank * factor), int(measured.search_k * factor)
        if max(rerank, search_k / 4) > _EXACT_SHARE * self.rows:
            return None
        return TreeEffort(k, search_k, rerank, measured.recall, measured.recall_lower95)

    def _tree_search(self, query: Vectors, projected: Vectors, k: int, live: Mask | None, effort: TreeEffort) -> Best:
        assert self._tree is not None
        rows = self._tree.candidates(projected, effort.rerank, effort.search_k)
        if live is not None:
            rows = rows[live[rows]]
        best = best_of_rows(self.table.vectors, self._product_of_row, rows, query, k)
        if len(best.rows) < k:
            # Too many candidates were dead or of one product: a tree never starves a query.
            return best_of_block(self.table.vectors, self.product_starts, live, query[None, :], k)[0]
        return best

    def _rows_matching(self, ids: list[str], keys: Keys) -> Rows:
        begin = np.searchsorted(self.table.keys, keys, "left")
        counts = np.searchsorted(self.table.keys, keys, "right") - begin
        if not counts.any():
            return np.empty(0, np.int64)
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(begin, counts) + offsets
        wanted = pa.array(ids, pa.string()).take(pa.array(np.repeat(np.arange(len(ids)), counts)))
        same_id = pc.equal(self._columns[self._at["product_id"]].take(pa.array(rows)), wanted)
        return np.asarray(rows[same_id.to_numpy(zero_copy_only=False)], dtype=np.int64)

    def _end_of_product(self, row: int) -> int:
        """Where the rows end of the product whose first row is `row`."""
        return row + 1 if self._product_of_row is None else int(self.product_starts[self._product_of_row[row] + 1])

    def _cell(self, name: str, row: int) -> Any:
        return self._cells[name](row)


def _opened(folder: Path, facts: ShardFacts) -> Shard:
    live = _record_batch(folder / files.LIVE_FILE) if files.LIVE_FILE in facts.files else no_live_rows()
    if facts.kind == "fresh":
        return Shard(facts, _checked(_fresh_table(folder, facts.dim, live), facts), None, None)
    table = ShardTable(
        rows=_record_batch(folder / files.ROWS_FILE),
        keys=_mapped(folder / files.KEYS_FILE),
        vectors=_mapped(folder / files.VECTORS_FILE),
        tombstones=_record_batch(folder / files.TOMBSTONES_FILE),
        live=live,
    )
    table = _checked(table, facts)
    plan: SearchPlan = facts.plan
    if plan.method == "exact" or not files_have_tree(facts):
        return Shard(facts, table, None, None)
    projection = _mapped(folder / files.PROJECTION_FILE)
    tree = Tree.open(folder / files.TREE_FILE, plan.projected_dim, facts.rows)
    return Shard(facts, table, tree, np.asarray(projection, dtype=np.float32))


def files_have_tree(facts: ShardFacts) -> bool:
    """Whether the shard was built with a tree and this machine can search it."""
    from vitrine.shards import tree

    return files.TREE_FILE in facts.files and tree.available()


def _checked(table: ShardTable, facts: ShardFacts) -> ShardTable:
    shapes = (table.rows.num_rows, len(table.keys), *table.vectors.shape)
    if shapes != (facts.rows, facts.rows, facts.rows, facts.dim):
        raise CorruptShard(f"shard {facts.shard_id}: shapes {shapes} do not match its facts")
    if table.live.num_rows != facts.live_rows:
        raise CorruptShard(f"shard {facts.shard_id}: {table.live.num_rows} live rows, its facts say {facts.live_rows}")
    return table


def _fresh_table(folder: Path, dim: int, live: pa.RecordBatch) -> ShardTable:
    batch = _record_batch(folder / files.FRESH_FILE)
    # Rows come first: slices share the mapped file, where a filter would copy it.
    count = batch.num_rows - batch.column("image_id").null_count
    rows, tombstones = batch.slice(0, count), batch.slice(count)
    if rows.column("image_id").null_count:
        raise CorruptShard(f"shard {folder.name}: a tombstone stands among the rows")
    vectors = rows.column("vector").flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    tombstones = tombstones.select(["product_id", "log_offset"])
    rows = rows.drop_columns(["vector"])
    return ShardTable(rows, keys_of(rows.column("product_id").to_pylist()), vectors, tombstones, live)


def _record_batch(path: Path) -> pa.RecordBatch:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).get_batch(0)


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array in an .npy file, mapped; an empty one cannot be and is read."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    if 0 in shape:
        return np.asarray(np.load(path))
    # A plain array view over the map: np.memmap's own indexing costs several microseconds a call.
    return np.asarray(np.load(path, mmap_mode="r"))


def _ordinals(product_starts: Rows) -> npt.NDArray[np.int32]:
    counts = np.diff(product_starts)
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)
