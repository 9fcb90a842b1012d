"""A key finds rows fast, but two ids may share one: everything must still go by the id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash

from tests.builders import MODEL, NOW, found, fresh, product, rolled, scattered, searched, singles, snapshot
from vitrine.shards import keys
from vitrine.shards.build import write_fresh
from vitrine.shards.lookup import newest_live, newest_mention
from vitrine.shards.merge import merged_table
from vitrine.shards.records import LiveVersion, ProductVersion, Tombstone
from vitrine.shards.shard import Shard

VECTORS = scattered(np.random.default_rng(0), 200)


def four_keys(product_id: str) -> int:
    """As bad as a hash can be: every fourth product has the same key, at both ends of the range as well."""
    return (0, 1, 1 << 63, (1 << 64) - 1)[xxhash.xxh3_64_intdigest(product_id.encode()) % 4]


@pytest.fixture(params=["four keys", "one key"])
def _colliding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_hash = four_keys if request.param == "four keys" else lambda _: 7
    # keys_of looks it up in its own module; the others have their own name for it.
    for module in ("keys", "lookup", "shard", "snapshot"):
        monkeypatch.setattr(f"vitrine.shards.{module}.key_of", bad_hash)


def uneven(count: int = 40) -> list[ProductVersion]:
    """Products with 1, 2 or 3 images."""
    return [product(f"p{number}", VECTORS[number : number + 1 + number % 3], number) for number in range(count)]


def prices(count: int = 40) -> list[LiveVersion]:
    return [LiveVersion(f"p{number}", number, {"price": float(number)}) for number in range(count)]


def build(
    kind: str,
    parent: Path,
    versions: Sequence[ProductVersion],
    gone: Sequence[Tombstone] = (),
    live: Sequence[LiveVersion] = (),
) -> Shard:
    return (fresh if kind == "fresh" else rolled)(parent, versions, gone, live=live)


def test_a_key_is_the_xxh3_of_the_utf8() -> None:
    assert keys.key_of("Schuh-ß") == xxhash.xxh3_64_intdigest("Schuh-ß".encode())


def test_keys_use_all_64_bits() -> None:
    assert keys.keys_of(f"p{number}" for number in range(1000)).max() > 1 << 63


@pytest.mark.usefixtures("_colliding")
@pytest.mark.parametrize("kind", ["fresh", "rolled"])
class TestCollidingKeys:
    def test_the_fixture_makes_them_collide(self, kind: str, tmp_path: Path) -> None:
        assert len(set(build(kind, tmp_path, uneven()).table.keys.tolist())) <= 4

    def test_every_product_finds_its_own_rows(self, kind: str, tmp_path: Path) -> None:
        shard = build(kind, tmp_path, uneven())

        for version in uneven():
            assert shard.version(shard.rows_of(version.product_id)) == version

    def test_a_stranger_with_the_same_key_has_none(self, kind: str, tmp_path: Path) -> None:
        shard = build(kind, tmp_path, uneven())

        assert not any(len(shard.rows_of(f"stranger{number}")) for number in range(20))

    def test_products_are_told_apart_in_the_rows(self, kind: str, tmp_path: Path) -> None:
        shard = build(kind, tmp_path, uneven())

        groups = [set(shard.product_ids(np.arange(begin, end))) for begin, end in pairwise(shard.product_starts)]
        assert sorted(map(len, groups)) == [1] * 40
        assert len(set.union(*groups)) == 40

    def test_the_facts_count_products_not_keys(self, kind: str, tmp_path: Path) -> None:
        assert build(kind, tmp_path, uneven()).facts.products == 40

    def test_a_newer_shard_hides_only_the_products_it_mentions(self, kind: str, tmp_path: Path) -> None:
        older = build(kind, tmp_path, uneven())
        newer = fresh(tmp_path, [product("p3", VECTORS[:1], 99), product("new", VECTORS[:2], 98)], [Tombstone("p4", 9)])

        hidden = older.product_ids(np.unique(older.rows_mentioned_by(newer)))

        assert sorted(hidden) == ["p3", "p4", "p4"]

    def test_a_tombstone_of_a_stranger_hides_nothing(self, kind: str, tmp_path: Path) -> None:
        older = build(kind, tmp_path, uneven())
        newer = fresh(tmp_path, [], [Tombstone(f"stranger{number}", 9) for number in range(20)])

        assert len(older.rows_mentioned_by(newer)) == 0

    def test_search_finds_every_product_once(self, kind: str, tmp_path: Path) -> None:
        view = snapshot(build(kind, tmp_path, uneven()))

        assert sorted(found(view, VECTORS[0], 99)) == sorted(version.product_id for version in uneven())

    def test_a_merge_keeps_products_together(self, kind: str, tmp_path: Path) -> None:
        older, newer = build(kind, tmp_path, uneven()), fresh(tmp_path, uneven(20)[10:])
        view = snapshot(older, newer)

        merged = Shard.open(write_fresh(merged_table(view.shards, reaches_oldest=True), MODEL, tmp_path))

        for version in uneven():
            assert merged.version(merged.rows_of(version.product_id)) == version

    def test_a_merge_keeps_the_tombstones_of_each(self, kind: str, tmp_path: Path) -> None:
        run = [
            build(kind, tmp_path, singles(VECTORS[:4])),
            fresh(tmp_path, [], [Tombstone("x", 7), Tombstone("p1", 8)]),
        ]
        view = snapshot(*run)

        table = merged_table(view.shards, reaches_oldest=False)

        assert table.tombstones.column("product_id").to_pylist() == ["p1", "x"]

    def test_the_newest_mention_is_of_the_product_itself(self, kind: str, tmp_path: Path) -> None:
        shards = [build(kind, tmp_path, uneven()), fresh(tmp_path, uneven(20)[10:], [Tombstone("p3", 99)])]

        said = [newest_mention(shards, name) for name in ("p3", "p4", "p15", "stranger")]

        assert said == [Tombstone("p3", 99), uneven()[4], uneven()[15], None]

    def test_every_product_finds_its_own_live_row(self, kind: str, tmp_path: Path) -> None:
        shard = build(kind, tmp_path, [], live=prices())

        assert [newest_live([shard], version.product_id) for version in prices()] == prices()

    def test_a_stranger_with_the_same_key_has_no_live_row(self, kind: str, tmp_path: Path) -> None:
        shard = build(kind, tmp_path, [], live=prices())

        assert not any(newest_live([shard], f"stranger{number}") for number in range(20))

    def test_hits_carry_their_own_live_attributes(self, kind: str, tmp_path: Path) -> None:
        view = snapshot(build(kind, tmp_path, uneven(), live=prices()), fresh(tmp_path, [], live=prices(20)[10:]))

        live = {hit.product_id: hit.live for hit in searched(view, VECTORS[:1], 99)[0]}

        assert live == {version.product_id: version.attributes for version in prices()}

    def test_a_merge_keeps_the_newest_live_row_of_each(self, kind: str, tmp_path: Path) -> None:
        changed = [LiveVersion(f"p{number}", 90 + number, {"price": 0.5}) for number in (3, 7)]
        view = snapshot(build(kind, tmp_path, [], live=prices()), fresh(tmp_path, [], live=changed))

        merged = Shard.open(write_fresh(merged_table(view.shards, reaches_oldest=True), MODEL, tmp_path))

        expected = {version.product_id: version for version in (*prices(), *changed)}
        assert {name: newest_live([merged], name) for name in expected} == expected

    def test_an_expired_stranger_does_not_hide_another(self, kind: str, tmp_path: Path) -> None:
        versions = [product(f"p{n}", VECTORS[n : n + 1], n, expires_at_us=NOW if n == 5 else None) for n in range(20)]
        view = snapshot(build(kind, tmp_path, versions), now_us=NOW)

        assert sorted(found(view, VECTORS[0], 99)) == sorted(f"p{n}" for n in range(20) if n != 5)
