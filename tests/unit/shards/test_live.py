"""What changes by the minute, price and stock, is kept apart from the product, and the newest word counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.builders import MODEL, NOW, found, fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.attributes import Attributes
from vitrine.shards import files, live
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.lookup import newest_live
from vitrine.shards.merge import merged_table
from vitrine.shards.records import LiveVersion, Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot
from vitrine.shards.table import ShardTable, table_of

VECTORS = scattered(np.random.default_rng(0), 20)
ONE = VECTORS[:1]

both_kinds = pytest.mark.parametrize("kind", ["fresh", "rolled"])


def shard_of(kind: str, parent: Path, *rows: LiveVersion) -> Shard:
    """A shard with nothing but live rows."""
    return (fresh if kind == "fresh" else rolled)(parent, [], live=rows)


def price(product_id: str, amount: float, offset: int = 0) -> LiveVersion:
    return LiveVersion(product_id, offset, {"price": amount})


def merged(shards: Sequence[Shard], first: int, last: int) -> ShardTable:
    """shards[first:last] of a partition as one table."""
    return merged_table(snapshot(*shards).shards[first:last], reaches_oldest=first == 0)


def live_ids(table: ShardTable) -> set[str]:
    return set(table.live.column("product_id").to_pylist())


@both_kinds
class TestContents:
    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"price": 9.5},
            {"in_stock": True},
            {"in_stock": False},
            {"sizes": ("S", "M")},
            {"sizes": ()},
            {"note": ""},
            {"größe": "über", "a:b:c": "colons", "attr:s:x": "a prefix", "": "no name"},
            {"note": "sale", "price": 9.5, "in_stock": True, "sizes": ("S",)},
        ],
    )
    def test_a_live_row_comes_back(self, tmp_path: Path, kind: str, attributes: Attributes) -> None:
        version = LiveVersion("p", 7, attributes)

        shard = shard_of(kind, tmp_path, version, price("other", 1.0))

        assert newest_live([shard], "p") == version

    def test_one_name_may_have_another_type_in_every_product(self, tmp_path: Path, kind: str) -> None:
        values: tuple[str | float | bool | tuple[str, ...], ...] = ("ask", 9.5, True, ("a", "b"))
        versions = [LiveVersion(f"p{number}", number, {"price": value}) for number, value in enumerate(values)]

        shard = shard_of(kind, tmp_path, *versions)

        assert [newest_live([shard], version.product_id) for version in versions] == versions

    def test_of_many_products_each_has_its_own(self, tmp_path: Path, kind: str) -> None:
        versions = [LiveVersion(f"p{n}", n, {"price": n / 4, "in_stock": n % 3 == 0}) for n in range(500)]

        shard = shard_of(kind, tmp_path, *versions)

        assert [newest_live([shard], version.product_id) for version in versions] == versions

    def test_the_facts_count_live_rows(self, tmp_path: Path, kind: str) -> None:
        facts = shard_of(kind, tmp_path, price("a", 1.0), price("b", 2.0)).facts

        assert (facts.rows, facts.tombstones, facts.live_rows) == (0, 0, 2)

    def test_a_shard_without_live_rows_has_no_file_for_them(self, tmp_path: Path, kind: str) -> None:
        assert files.LIVE_FILE not in shard_of(kind, tmp_path).facts.files

    def test_a_shard_with_nothing_else_can_be_searched(self, tmp_path: Path, kind: str) -> None:
        assert searched(snapshot(shard_of(kind, tmp_path, price("p", 1.0))), ONE, 5) == [[]]

    def test_a_shard_without_live_rows_knows_none(self, tmp_path: Path, kind: str) -> None:
        assert newest_live([shard_of(kind, tmp_path)], "p") is None


@both_kinds
class TestAnswers:
    def test_a_hit_carries_them_apart_from_its_own_attributes(self, tmp_path: Path, kind: str) -> None:
        older = fresh(tmp_path, [product("p", ONE, attributes={"price": 1.0, "colour": "red"})])

        hit = searched(snapshot(older, shard_of(kind, tmp_path, price("p", 9.5))), ONE, 1)[0][0]

        assert (hit.attributes, hit.live) == ({"price": 1.0, "colour": "red"}, {"price": 9.5})

    def test_a_newer_live_row_counts(self, tmp_path: Path, kind: str) -> None:
        view = snapshot(shard_of(kind, tmp_path, price("p", 1.0)), shard_of(kind, tmp_path, price("p", 2.0)))

        assert view.live_attributes("p") == {"price": 2.0}

    def test_a_newer_live_row_replaces_the_whole_map(self, tmp_path: Path, kind: str) -> None:
        older = shard_of(kind, tmp_path, LiveVersion("p", 1, {"price": 1.0, "in_stock": True}))

        view = snapshot(older, shard_of(kind, tmp_path, price("p", 2.0, 2)))

        assert view.live_attributes("p") == {"price": 2.0}

    def test_a_row_without_attributes_hides_older_ones(self, tmp_path: Path, kind: str) -> None:
        view = snapshot(shard_of(kind, tmp_path, price("p", 1.0)), shard_of(kind, tmp_path, LiveVersion("p", 2, {})))

        assert view.live_attributes("p") == {}

    def test_they_wait_for_a_product_that_comes_later(self, tmp_path: Path, kind: str) -> None:
        earlier = shard_of(kind, tmp_path, price("p", 9.5))

        hit = searched(snapshot(earlier, fresh(tmp_path, [product("p", ONE)])), ONE, 1)[0][0]

        assert hit.live == {"price": 9.5}

    def test_they_outlast_a_withdrawn_product(self, tmp_path: Path, kind: str) -> None:
        shards = [
            fresh(tmp_path, [product("p", ONE)]),
            shard_of(kind, tmp_path, price("p", 9.5)),
            fresh(tmp_path, [], [Tombstone("p", 2)]),
            fresh(tmp_path, [product("p", ONE, 3)]),
        ]

        assert snapshot(*shards[:3]).live_attributes("p") == {"price": 9.5}
        assert searched(snapshot(*shards), ONE, 1)[0][0].live == {"price": 9.5}

    def test_they_hide_no_product(self, tmp_path: Path, kind: str) -> None:
        view = snapshot(fresh(tmp_path, singles(VECTORS)), shard_of(kind, tmp_path, price("p3", 9.5)))

        assert found(view, VECTORS[3], 1) == ["p3"]

    def test_a_product_without_any_has_none(self, tmp_path: Path, kind: str) -> None:
        view = snapshot(fresh(tmp_path, [product("p", ONE)]), shard_of(kind, tmp_path, price("other", 9.5)))

        assert searched(view, ONE, 1)[0][0].live == {}


class TestBlocks:
    def shards(self, parent: Path) -> list[Shard]:
        """Shard n prices products n, n+1, n+2 at n."""
        return [shard_of("fresh", parent, *(price(f"p{n + step}", n) for step in range(3))) for n in range(6)]

    @pytest.mark.parametrize(("block_rows", "blocks"), [(1, 6), (3, 6), (6, 3), (8, 3), (9, 2), (100, 1)])
    def test_neighbours_are_merged_up_to_a_bound(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_rows: int, blocks: int
    ) -> None:
        monkeypatch.setattr(live, "BLOCK_ROWS", block_rows)

        view = snapshot(*self.shards(tmp_path))

        assert len(view.live_blocks.blocks) == blocks
        assert [view.live_attributes(f"p{n}") for n in range(8)] == [{"price": min(n, 5)} for n in range(8)]

    def test_a_new_shard_leaves_older_blocks_as_they_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "BLOCK_ROWS", 6)
        shards = self.shards(tmp_path)
        before = snapshot(*shards[:5])

        after = Snapshot.of(shards, 8, NOW, before)

        kept = [block in before.live_blocks.blocks for block in after.live_blocks.blocks]
        assert kept == [True, True, False]

    def test_none_any_more_hides_what_an_older_block_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "BLOCK_ROWS", 2)
        older = shard_of("fresh", tmp_path, price("p", 1), price("q", 1))
        newer = [shard_of("fresh", tmp_path, LiveVersion("p", 2, {})), shard_of("fresh", tmp_path, price("r", 3))]

        view = snapshot(older, *newer)

        assert len(view.live_blocks.blocks) == 2
        assert view.live_attributes("p") == {}

    def test_a_live_row_moves_no_vectors(self, tmp_path: Path) -> None:
        shards = [fresh(tmp_path, singles(VECTORS)), *self.shards(tmp_path)]
        before = snapshot(*shards[:5])

        assert Snapshot.of(shards, 8, NOW, before).fresh is before.fresh


class TestMerge:
    def test_the_newest_row_of_a_product_is_kept(self, tmp_path: Path) -> None:
        shards = [shard_of("fresh", tmp_path, price("p", n, n), price(f"q{n}", n, n)) for n in (1, 2, 3)]

        shard = Shard.open(write_fresh(merged(shards, 0, 3), MODEL, tmp_path))

        assert newest_live([shard], "p") == price("p", 3, 3)
        assert newest_live([shard], "q1") == price("q1", 1, 1)

    def test_offsets_do_not_decide_what_is_newest(self, tmp_path: Path) -> None:
        # A live log that was made anew counts from 0 again.
        shards = [shard_of("fresh", tmp_path, price("p", 1, 900)), shard_of("fresh", tmp_path, price("p", 2, 0))]

        shard = Shard.open(write_fresh(merged(shards, 0, 2), MODEL, tmp_path))

        assert newest_live([shard], "p") == price("p", 2, 0)

    def test_none_any_more_is_kept_while_something_older_may_lie(self, tmp_path: Path) -> None:
        shards = [shard_of("rolled", tmp_path, price("p", 1)), shard_of("fresh", tmp_path, LiveVersion("p", 2, {}))]
        merged_shard = Shard.open(write_fresh(merged(shards, 1, 2), MODEL, tmp_path))

        assert snapshot(shards[0], merged_shard).live_attributes("p") == {}

    def test_none_any_more_goes_with_what_it_hid(self, tmp_path: Path) -> None:
        shards = [
            shard_of("rolled", tmp_path, price("p", 1), price("q", 1)),
            shard_of("fresh", tmp_path, LiveVersion("p", 2, {})),
        ]

        assert live_ids(merged(shards, 0, 2)) == {"q"}

    def test_live_rows_of_unknown_and_withdrawn_products_are_kept(self, tmp_path: Path) -> None:
        shards = [
            fresh(tmp_path, [product("gone", ONE)], live=[price("gone", 1)]),
            fresh(tmp_path, [], [Tombstone("gone", 2)], live=[price("unknown", 2)]),
        ]

        assert live_ids(merged(shards, 0, 2)) == {"gone", "unknown"}

    def test_a_name_that_no_product_has_any_more_has_no_column(self, tmp_path: Path) -> None:
        shards = [
            shard_of("fresh", tmp_path, LiveVersion("p", 1, {"discount": 0.3, "price": 7.0})),
            shard_of("fresh", tmp_path, price("p", 2)),
        ]

        assert merged(shards, 0, 2).live.schema.names == ["key", "product_id", "log_offset", "attr:n:price"]

    def test_a_merge_of_shards_with_different_names_loses_none(self, tmp_path: Path) -> None:
        maps: list[Attributes] = [{"price": 1.0}, {"price": "ask"}, {"in_stock": True, "sizes": ("S", "M")}, {}]
        versions = [LiveVersion(f"p{n}", n, attributes) for n, attributes in enumerate(maps)]
        shards = [shard_of("rolled" if n % 2 else "fresh", tmp_path, version) for n, version in enumerate(versions)]
        table = merged([shard_of("fresh", tmp_path), *shards], 1, 5)

        shard = Shard.open(write_rolled(table, MODEL, tmp_path, TreeSettings()))

        assert [newest_live([shard], version.product_id) for version in versions] == versions

    def test_merged_live_rows_are_in_key_order(self, tmp_path: Path) -> None:
        shards = [shard_of("fresh", tmp_path, *(price(f"p{n}", n) for n in range(i, 90, 3))) for i in range(3)]

        keys = merged(shards, 0, 3).live.column("key").to_numpy()

        assert len(keys) == 90
        assert (keys[1:] > keys[:-1]).all()

    def test_live_rows_beside_rolled_vectors_keep_them_at_half_precision(self, tmp_path: Path) -> None:
        shards = [rolled(tmp_path, singles(VECTORS)), shard_of("fresh", tmp_path, price("p3", 9.5))]

        assert merged(shards, 0, 2).vectors.dtype == np.float16

    def test_shards_without_live_rows_merge_into_one_without(self, tmp_path: Path) -> None:
        shards = [fresh(tmp_path, singles(VECTORS)), fresh(tmp_path, [], [Tombstone("p1", 9)])]

        assert merged(shards, 0, 2).live.num_rows == 0


def test_the_columns_of_live_rows_are_typed() -> None:
    table = table_of([], [], 8, [LiveVersion("p", 1, {"price": 9.5, "in_stock": True})])

    types = dict(zip(table.live.schema.names, table.live.schema.types, strict=True))

    assert types == {
        "key": pa.uint64(),
        "product_id": pa.string(),
        "log_offset": pa.int64(),
        "attr:b:in_stock": pa.bool_(),
        "attr:n:price": pa.float64(),
    }
