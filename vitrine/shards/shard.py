"""A shard that has been verified and mapped into memory: the rows, and the search over them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.attributes import Attributes
from vitrine.runtime.errors import ConfigError, CorruptShard
from vitrine.shards import files, tree
from vitrine.shards.cells import attributes_reader, reader
from vitrine.shards.conditions import kinds_of
from vitrine.shards.files import SearchPlan, ShardFacts
from vitrine.shards.keys import Keys, key_of, keys_of, matches
from vitrine.shards.live import LiveRows
from vitrine.shards.metric import metric_of
from vitrine.shards.planning import ways_of
from vitrine.shards.records import Hit, ImageRow, ProductVersion
from vitrine.shards.scoring import Gallery, product_starts_of
from vitrine.shards.selection import Rows
from vitrine.shards.space import Space, opened
from vitrine.shards.table import ShardTable, no_live_rows
from vitrine.shards.tree import Tree

_WAYS: Final = 256


@dataclass(frozen=True, eq=False)
class FirstStage:
    """Where the candidates of a rolled shard come from. `projected`: what `space` keeps of each row, if anything."""

    tree: Tree
    space: Space
    projected: npt.NDArray[Any] | None


class Shard:
    """One immutable shard. Safe to search from several threads at once."""

    def __init__(self, facts: ShardFacts, table: ShardTable, first_stage: FirstStage | None) -> None:
        self.facts = facts
        self.table = table
        self.first_stage = first_stage
        self.metric = metric_of(facts.metric)
        plan = facts.plan if first_stage else SearchPlan("exact")
        # Most queries want alike: what is best for them is worked out once.
        self.ways = lru_cache(maxsize=_WAYS)(partial(ways_of, plan))
        self._columns = [table.rows.column(index) for index in range(table.rows.num_columns)]
        self._at = {name: index for index, name in enumerate(table.rows.schema.names)}
        self._cells = {name: reader(self._columns[index]) for name, index in self._at.items()}
        self._hit_cells = [self._cells[name] for name in ("product_id", "image_id", "uri", "sha256", "category")]
        self._attributes_of = attributes_reader(table.rows)
        self.kinds = kinds_of(table.rows)
        self.rows_by_category = _counts(self._columns[self._at["category"]])
        self._keys = table.keys.data
        self.live = LiveRows(table.live) if table.live.num_rows else None
        self.product_starts = product_starts_of(table.keys, self._columns[self._at["product_id"]])
        self.gallery = Gallery.of(table.vectors, self.product_starts)
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
        except (pa.ArrowInvalid, ValueError, KeyError, OSError, ConfigError) as error:
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

    def hit(self, row: int, score: float, live: Attributes) -> Hit:
        """The answer that stands in `row`, with the product's live attributes."""
        product_id, image_id, uri, sha256, category = [read(row) for read in self._hit_cells]
        return Hit(product_id, image_id, uri, sha256, score, category, self._attributes_of(row), live)

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

    def _rows_matching(self, ids: list[str], keys: Keys) -> Rows:
        places, rows = matches(keys, self.table.keys)
        if len(rows) == 0:
            return rows
        wanted = pa.array(ids, pa.string()).take(pa.array(places))
        same_id = pc.equal(self._columns[self._at["product_id"]].take(pa.array(rows)), wanted)
        return np.asarray(rows[same_id.to_numpy(zero_copy_only=False)], dtype=np.int64)

    def _end_of_product(self, row: int) -> int:
        """Where the rows end of the product whose first row is `row`."""
        products = self.gallery.product_of_row
        return row + 1 if products is None else int(self.product_starts[products[row] + 1])

    def _cell(self, name: str, row: int) -> Any:
        return self._cells[name](row)


def _counts(column: pa.Array) -> dict[str, int]:
    """How often each string stands in `column`."""
    values, counts = pc.value_counts(column).flatten()
    return dict(zip(values.to_pylist(), counts.to_pylist(), strict=True))


def _opened(folder: Path, facts: ShardFacts) -> Shard:
    live = _record_batch(folder / files.LIVE_FILE) if files.LIVE_FILE in facts.files else no_live_rows()
    if facts.kind == "fresh":
        return Shard(facts, _checked(_fresh_table(folder, facts.dim, live), facts), None)
    table = ShardTable(
        rows=_record_batch(folder / files.ROWS_FILE),
        keys=_mapped(folder / files.KEYS_FILE),
        vectors=_mapped(folder / files.VECTORS_FILE),
        tombstones=_record_batch(folder / files.TOMBSTONES_FILE),
        live=live,
    )
    return Shard(facts, _checked(table, facts), _first_stage(folder, facts))


def _first_stage(folder: Path, facts: ShardFacts) -> FirstStage | None:
    """None where every row is scored: there is no tree, or this machine cannot search it."""
    if facts.plan.method == "exact" or files.TREE_FILE not in facts.files or not tree.available():
        return None
    space = opened(facts.metric, _mapped_if_there(folder, files.PROJECTION_FILE, facts), facts.plan.projected_dim)
    opened_tree = Tree.open(folder / files.TREE_FILE, facts.plan.projected_dim, facts.rows, space.tree_metric)
    return FirstStage(opened_tree, space, _mapped_if_there(folder, files.PROJECTED_FILE, facts))


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


def _mapped_if_there(folder: Path, name: str, facts: ShardFacts) -> npt.NDArray[Any] | None:
    return _mapped(folder / name) if name in facts.files else None


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array in an .npy file, mapped; an empty one cannot be and is read."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    if 0 in shape:
        return np.asarray(np.load(path))
    # A plain array view over the map: np.memmap's own indexing costs several microseconds a call.
    return np.asarray(np.load(path, mmap_mode="r"))
