"""Several neighbouring shards become one, and it hides in older shards exactly what they hid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import MODEL, NOW, SECOND, found, fresh, product, rolled, scattered, singles, snapshot
from vitrine.attributes import Attributes
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.merge import merged_table
from vitrine.shards.records import Tombstone
from vitrine.shards.shard import Shard
from vitrine.shards.table import ShardTable

VECTORS = scattered(np.random.default_rng(0), 50)
ONE = VECTORS[:1]
LATER = NOW + SECOND


def merged(shards: Sequence[Shard], first: int, last: int, now_us: int = NOW) -> ShardTable:
    """shards[first:last] of a partition as one table."""
    return merged_table(snapshot(*shards, now_us=now_us).shards[first:last], reaches_oldest=first == 0)


def ids(table: ShardTable) -> list[Any]:
    return sorted(set(table.rows.column("product_id").to_pylist()))


def hidden(table: ShardTable) -> dict[Any, Any]:
    return dict(zip(*table.tombstones.to_pydict().values(), strict=True))


def test_rows_that_a_newer_shard_supersedes_are_gone(tmp_path: Path) -> None:
    older = fresh(tmp_path, [product("a", VECTORS[:3], 1), product("b", ONE, 2)])
    newer = fresh(tmp_path, [product("a", VECTORS[5:6], 3)])

    table = merged([older, newer], 0, 2)

    assert table.rows.num_rows == 2
    assert sorted(table.rows.column("log_offset").to_pylist()) == [2, 3]


def test_rows_that_a_shard_after_the_run_supersedes_are_gone(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, singles(VECTORS[:4])), fresh(tmp_path, []), fresh(tmp_path, [product("p1", ONE, 9)])]

    assert ids(merged(shards, 0, 2)) == ["p0", "p2", "p3"]


def test_deleted_products_are_gone(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, singles(VECTORS[:3])), fresh(tmp_path, [], [Tombstone("p1", 9)])]

    assert ids(merged(shards, 0, 2)) == ["p0", "p2"]


def test_a_run_that_reaches_the_oldest_shard_needs_no_tombstones(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [], [Tombstone("a", 1)]), fresh(tmp_path, [], [Tombstone("b", 2)])]

    assert hidden(merged(shards, 0, 2)) == {}


def test_a_run_that_does_not_reach_it_keeps_its_tombstones(tmp_path: Path) -> None:
    shards = [
        fresh(tmp_path, [product("a", ONE)]),
        fresh(tmp_path, [], [Tombstone("a", 7)]),
        fresh(tmp_path, [product("b", ONE, 8)]),
    ]

    assert hidden(merged(shards, 1, 3)) == {"a": 7}


def test_a_tombstone_ends_where_the_product_comes_back(tmp_path: Path) -> None:
    shards = [
        fresh(tmp_path, [product("a", ONE)]),
        fresh(tmp_path, [], [Tombstone("a", 7)]),
        fresh(tmp_path, [product("a", ONE, 8)]),
    ]

    table = merged(shards, 1, 3)

    assert (ids(table), hidden(table)) == (["a"], {})


def test_the_newest_of_two_tombstones_is_kept(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [product("a", ONE)]), *(fresh(tmp_path, [], [Tombstone("a", at)]) for at in (7, 9))]

    assert hidden(merged(shards, 1, 3)) == {"a": 9}


def test_an_expired_row_leaves_a_tombstone_where_something_older_may_lie(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [product("a", ONE)]), fresh(tmp_path, [product("a", ONE, 7, expires_at_us=LATER)])]

    table = merged(shards, 1, 2, now_us=LATER)

    assert (ids(table), hidden(table)) == ([], {"a": 7})


def test_an_expired_row_in_the_oldest_run_leaves_nothing(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, [product("a", ONE)]), fresh(tmp_path, [product("a", ONE, 7, expires_at_us=LATER)])]

    table = merged(shards, 0, 2, now_us=LATER)

    assert (ids(table), hidden(table)) == ([], {})


def test_a_row_that_has_not_expired_keeps_its_expiry(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, []), fresh(tmp_path, [product("a", ONE, 7, expires_at_us=LATER)])]

    table = merged(shards, 1, 2, now_us=LATER - 1)

    assert table.rows.column("expires_at_us").to_pylist() == [LATER]
    assert hidden(table) == {}


def test_an_old_version_does_not_come_back_when_the_newer_one_expires_and_is_merged_away(tmp_path: Path) -> None:
    shards = [
        fresh(tmp_path, [product("a", ONE, 1)]),
        fresh(tmp_path, [product("a", ONE, 2, expires_at_us=LATER)]),
        fresh(tmp_path, [product("b", ONE, 3)]),
    ]
    merged_shard = Shard.open(write_fresh(merged(shards, 1, 3, now_us=LATER), MODEL, tmp_path))

    view = snapshot(shards[0], merged_shard, now_us=LATER)

    assert found(view, ONE[0], 9) == ["b"]
    assert view.product("a") is None


def test_a_deleted_product_does_not_come_back_after_a_merge(tmp_path: Path) -> None:
    shards = [
        fresh(tmp_path, [product("a", ONE, 1), product("b", ONE, 2)]),
        fresh(tmp_path, [], [Tombstone("a", 3)]),
        fresh(tmp_path, [product("c", ONE, 4)]),
    ]
    merged_shard = Shard.open(write_fresh(merged(shards, 1, 3), MODEL, tmp_path))

    assert found(snapshot(shards[0], merged_shard), ONE[0], 9) == ["b", "c"]


def test_a_run_in_which_everything_died_becomes_an_empty_shard(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, singles(VECTORS[:3])), fresh(tmp_path, [], [Tombstone(f"p{n}", 9) for n in range(3)])]

    shard = Shard.open(write_rolled(merged(shards, 0, 2), MODEL, tmp_path, TreeSettings()))

    assert (shard.rows, shard.tombstones) == (0, {})


def test_a_rolled_shard_of_fresh_ones_keeps_half_precision(tmp_path: Path) -> None:
    table = merged([fresh(tmp_path, singles(VECTORS))], 0, 1)

    shard = Shard.open(write_rolled(table, MODEL, tmp_path, TreeSettings()))

    assert shard.table.vectors.dtype == np.float16


def test_fresh_shards_merge_without_more_loss_than_half_precision(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, singles(VECTORS[:25])), fresh(tmp_path, singles(VECTORS[25:], "q"))]

    shard = Shard.open(write_fresh(merged(shards, 0, 2), MODEL, tmp_path))

    for number, version in enumerate(singles(VECTORS[25:], "q")):
        kept = shard.version(shard.rows_of(version.product_id)).images[0].vector
        assert (kept == VECTORS[25 + number].astype(np.float16)).all()


def test_compacting_again_and_again_does_not_wear_vectors_out(tmp_path: Path) -> None:
    shard = rolled(tmp_path, singles(VECTORS))
    before = {version.product_id: shard.version(shard.rows_of(version.product_id)) for version in singles(VECTORS)}
    for _ in range(3):
        shard = Shard.open(write_rolled(merged([shard], 0, 1), MODEL, tmp_path, TreeSettings()))

    for product_id, version in before.items():
        kept = shard.version(shard.rows_of(product_id))
        assert (kept.images[0].vector == version.images[0].vector).all()


@pytest.mark.parametrize("last", ["fresh", "rolled"])
def test_shards_with_different_attributes_merge(tmp_path: Path, last: str) -> None:
    attributes: dict[str, Attributes] = {
        "none": {},
        "text": {"size": "M"},
        "number": {"size": 42.0, "price": 1.0},
        "both": {"colour": "red", "sizes": ("S", "M"), "new": True},
    }
    shards = [
        (rolled if number % 2 else fresh)(tmp_path, [product(name, ONE, number, attributes=values)])
        for number, (name, values) in enumerate(attributes.items())
    ]

    write = write_fresh(merged(shards, 0, 4), MODEL, tmp_path) if last == "fresh" else None
    folder = write or write_rolled(merged(shards, 0, 4), MODEL, tmp_path, TreeSettings())
    shard = Shard.open(folder)

    assert {name: shard.version(shard.rows_of(name)).attributes for name in attributes} == attributes


def test_a_merged_shard_is_in_key_order(tmp_path: Path) -> None:
    shards = [fresh(tmp_path, singles(VECTORS[n : n + 5], f"s{n}-")) for n in range(0, 50, 5)]

    keys = merged(shards, 0, 10).keys

    assert (keys[1:] >= keys[:-1]).all()
