"""A bounded cache gives up what is not needed, and never what is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from tests.builders import MODEL, scattered, singles
from vitrine.index import cache as module
from vitrine.index.cache import ABANDONED_S, FRESH_UNUSED_S, IN_USE_S, SERVED_S, ShardCache, remove_whole
from vitrine.index.manifest import Manifest, ShardEntry
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.shards.build import write_fresh
from vitrine.shards.files import FRESH_FILE
from vitrine.shards.table import table_of

BOUND_BYTES = 1000
LONG_AGO_S = 2 * IN_USE_S


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    return ShardCache(tmp_path / "cache", BOUND_BYTES)


def copy(cache: ShardCache, name: str, unused_s: float, size_bytes: int = 400, file: str = "vectors.npy") -> Path:
    """A copied shard, `p00000/a` for example, last used so long ago."""
    folder = cache.folder / name
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"x" * size_bytes)
    age(folder, unused_s)
    return folder


def age(path: Path, seconds: float) -> None:
    then_s = time.time() - seconds
    os.utime(path, (then_s, then_s))


def named(folder: Path) -> ShardEntry:
    return ShardEntry(folder.name, "rolled", rows=1, tombstones=0, size_bytes=1, facts_xxh3="")


def test_what_was_used_least_recently_goes_first(cache: ShardCache) -> None:
    copies = [copy(cache, f"p0000{place % 2}/{place}", LONG_AGO_S + place) for place in range(4)]

    cache.make_room()

    assert [folder.exists() for folder in copies] == [True, True, False, False]
    assert cache.size_bytes == 800


def test_use_makes_it_recent(cache: ShardCache) -> None:
    oldest, older, old = (copy(cache, f"p00000/{age_s}", LONG_AGO_S + age_s) for age_s in (3, 2, 1))

    assert cache.use(oldest)
    cache.make_room()

    assert (oldest.exists(), older.exists(), old.exists()) == (True, False, True)


def test_what_is_held_stays_however_old(cache: ShardCache) -> None:
    held, *others = (copy(cache, f"p00000/{age_s}", LONG_AGO_S + age_s) for age_s in (3, 2, 1))
    cache.hold("view", [held])

    cache.make_room()

    assert [held.exists(), *(folder.exists() for folder in others)] == [True, False, True]


def test_what_is_held_no_longer_goes(cache: ShardCache) -> None:
    held = [copy(cache, f"p00000/{place}", LONG_AGO_S) for place in range(3)]
    cache.hold("view", held)
    cache.hold("view", held[:2])

    cache.make_room()

    assert [folder.exists() for folder in held] == [True, True, False]


def test_live_shards_beyond_the_bound_all_stay_and_it_is_said(cache: ShardCache) -> None:
    live = [copy(cache, f"p00000/{place}", LONG_AGO_S) for place in range(5)]
    cache.hold("view", live)

    cache.make_room()

    assert all(folder.exists() for folder in live)
    assert (cache.over_bound, cache.spared_bytes) == (True, 2000)


def test_without_a_bound_nothing_goes(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, bound_bytes=0)
    folder = copy(cache, "p00000/a", 30 * 24 * 3600, size_bytes=10_000)

    cache.make_room()

    assert folder.exists()


def test_what_any_process_has_just_used_stays(cache: ShardCache) -> None:
    folder = copy(cache, "p00000/a", IN_USE_S / 2, size_bytes=2 * BOUND_BYTES)

    cache.make_room()

    assert folder.exists()


def test_what_another_process_serves_stays(cache: ShardCache) -> None:
    served = copy(cache, "p00000/a", LONG_AGO_S, size_bytes=2 * BOUND_BYTES)
    ShardCache(cache.folder, BOUND_BYTES).serve("p00000", Manifest(0, version=1, shards=(named(served),)))

    cache.make_room()

    assert served.exists()


def test_what_nobody_has_served_for_an_hour_may_go(cache: ShardCache) -> None:
    served = copy(cache, "p00000/a", 2 * SERVED_S, size_bytes=2 * BOUND_BYTES)
    ShardCache(cache.folder, BOUND_BYTES).serve("p00000", Manifest(0, version=1, shards=(named(served),)))
    age(cache.folder / "p00000" / "manifest.json", 2 * SERVED_S)

    cache.make_room()

    assert not served.exists()


def test_who_serves_says_so_again_and_again(cache: ShardCache) -> None:
    cache.serve("p00000", Manifest(0, version=1))
    file = cache.folder / "p00000" / "manifest.json"
    age(file, 2 * SERVED_S)

    cache.make_room()

    assert time.time() - file.stat().st_mtime < 60


def test_a_fresh_shard_that_was_merged_goes_though_there_is_room(cache: ShardCache) -> None:
    fresh = copy(cache, "p00000/fresh", 2 * FRESH_UNUSED_S, size_bytes=10, file=FRESH_FILE)
    rolled = copy(cache, "p00000/rolled", 2 * FRESH_UNUSED_S, size_bytes=10)

    cache.make_room()

    assert (fresh.exists(), rolled.exists()) == (False, True)


def test_a_copy_that_a_crashed_process_left_unfinished_is_removed(cache: ShardCache) -> None:
    left = copy(cache, "p00000/a.0123.partial", 2 * ABANDONED_S)
    age(left / "vectors.npy", 2 * ABANDONED_S)
    age(left, 2 * ABANDONED_S)
    growing = copy(cache, "p00000/b.0123.partial", 2 * ABANDONED_S)

    cache.make_room()

    assert (left.exists(), growing.exists()) == (False, True)


def test_nothing_but_partitions_is_looked_at(cache: ShardCache) -> None:
    scratch = copy(cache, "p1-p00000/building", 2 * FRESH_UNUSED_S, size_bytes=2 * BOUND_BYTES, file=FRESH_FILE)

    cache.make_room()

    assert scratch.exists()


def test_a_manifest_cut_short_by_a_power_cut_is_none(cache: ShardCache) -> None:
    cache.serve("p00000", Manifest(0, version=1))
    (cache.folder / "p00000" / "manifest.json").write_bytes(b"")

    assert cache.served("p00000") is None


def put(shelf: Shelf) -> ShardEntry:
    return shelf.put(
        write_fresh(table_of(singles(scattered(np.random.default_rng(0), 20)), [], 8), MODEL, shelf.scratch)
    )


def test_an_evicted_shard_is_read_on_by_who_has_it_open_and_copied_again_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_USE_S", -1.0)
    cache = ShardCache(tmp_path / "cache", bound_bytes=1)
    shelf = Shelf(Store(MemoryStore(), None), "shop", 0, cache)
    entry = put(shelf)
    shard = shelf.open(entry)

    cache.make_room()

    assert not (cache.folder / "p00000" / entry.shard_id).exists()
    assert shard.version([0]).product_id
    assert shelf.open(entry).rows == 20


def test_copies_are_held_for_as_long_as_they_are_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_USE_S", -1.0)
    cache = ShardCache(tmp_path / "cache", bound_bytes=1)
    shelf = Shelf(Store(MemoryStore(), None), "shop", 0, cache)
    entry = put(shelf)

    with shelf.holding([entry]):
        folder = shelf.folder(entry)
        cache.make_room()
        assert folder.exists()
    cache.make_room()
    assert not folder.exists()


def test_a_reader_that_loses_the_race_with_an_eviction_copies_again(tmp_path: Path) -> None:
    class Evicting(ShardCache):
        """Another process evicts what this one has just found."""

        raced = False

        def use(self, copy: Path) -> bool:
            found = super().use(copy)
            if found and not self.raced:
                self.raced = True
                remove_whole(copy)
            return found

    shelf = Shelf(Store(MemoryStore(), None), "shop", 0, Evicting(tmp_path / "cache"))
    entry = put(shelf)
    shelf.folder(entry)

    assert shelf.open(entry).rows == 20
