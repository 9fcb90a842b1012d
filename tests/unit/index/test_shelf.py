"""Shards go into the store whole, and come out as they went in or not at all."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from tests.builders import MODEL, scattered, singles
from vitrine.index.manifest import ShardEntry
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptShard, StoreUnavailable
from vitrine.shards import files
from vitrine.shards.build import TreeSettings, write_fresh, write_rolled
from vitrine.shards.records import Tombstone
from vitrine.shards.table import table_of

PREFIX = "shop/p00003/shards"


class WatchedStore(Store):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), None)
        self.read: list[str] = []

    def get(self, key: str) -> bytes | None:
        self.read.append(key)
        return super().get(key)

    def download(self, key: str, target: Path) -> str | None:
        self.read.append(key)
        return super().download(key, target)


@pytest.fixture(params=["folder", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root")) if request.param == "folder" else WatchedStore()


@pytest.fixture
def remote() -> WatchedStore:
    return WatchedStore()


def shelf_of(store: Store, tmp_path: Path) -> Shelf:
    return Shelf(store, "shop", 3, tmp_path / "cache")


def put(shelf: Shelf, kind: str = "fresh", count: int = 20) -> ShardEntry:
    table = table_of(singles(scattered(np.random.default_rng(0), count)), [Tombstone("gone", 7)], 8)
    if kind == "fresh":
        return shelf.put(write_fresh(table, MODEL, shelf.scratch))
    return shelf.put(write_rolled(table, MODEL, shelf.scratch, TreeSettings()))


def spoil(store: Store, entry: ShardEntry, name: str, data: bytes) -> None:
    """Replaces an object behind the store's back."""
    key = f"{PREFIX}/{entry.shard_id}/{name}"
    store.delete([key])
    store.create(key, data)


@pytest.mark.parametrize("kind", ["fresh", "rolled"])
def test_a_shard_comes_out_as_it_went_in(store: Store, tmp_path: Path, kind: str) -> None:
    shelf = shelf_of(store, tmp_path)

    shard = shelf.open(put(shelf, kind))

    assert (shard.rows, shard.tombstones) == (20, {"gone": 7})


@pytest.mark.parametrize("kind", ["fresh", "rolled"])
def test_the_entry_says_what_the_shard_is(store: Store, tmp_path: Path, kind: str) -> None:
    shelf = shelf_of(store, tmp_path)

    entry = put(shelf, kind)

    facts = shelf.open(entry).facts
    assert (entry.shard_id, entry.kind, entry.rows, entry.tombstones) == (facts.shard_id, kind, 20, 1)
    assert entry.size_bytes == facts.size_bytes


def test_nothing_is_left_where_it_was_built(store: Store, tmp_path: Path) -> None:
    shelf = shelf_of(store, tmp_path)

    put(shelf)

    assert list(shelf.scratch.iterdir()) == []


def test_what_earlier_builders_left_is_cleared(store: Store, tmp_path: Path) -> None:
    crashed = shelf_of(store, tmp_path)
    (crashed.scratch / "half-built").mkdir(parents=True)

    shelf_of(store, tmp_path).clear_scratch()

    assert not crashed.scratch.exists()


def test_clearing_scratch_spares_other_partitions(store: Store, tmp_path: Path) -> None:
    neighbour = Shelf(store, "shop", 30, tmp_path / "cache")
    neighbour.scratch.mkdir(parents=True)

    shelf_of(store, tmp_path).clear_scratch()

    assert neighbour.scratch.exists()


def test_the_store_lists_its_shards(store: Store, tmp_path: Path) -> None:
    shelf = shelf_of(store, tmp_path)
    entries = [put(shelf), put(shelf)]

    assert sorted(shelf.stored()) == sorted(entry.shard_id for entry in entries)


def test_a_deleted_shard_is_gone(store: Store, tmp_path: Path) -> None:
    shelf = shelf_of(store, tmp_path)
    kept, entry = put(shelf), put(shelf)

    shelf.delete(entry.shard_id)

    assert shelf.stored() == [kept.shard_id]


def test_facts_that_are_not_those_of_the_manifest_are_refused(store: Store, tmp_path: Path) -> None:
    shelf = shelf_of(store, tmp_path)
    entry, other = put(shelf), put(shelf)
    facts = store.get(f"{PREFIX}/{other.shard_id}/{files.FACTS_FILE}")
    assert facts is not None
    spoil(store, entry, files.FACTS_FILE, facts)

    with pytest.raises(CorruptShard, match="checksum"):
        shelf.open(entry)


def test_every_flipped_bit_of_the_facts_is_found(tmp_path: Path) -> None:
    shelf = shelf_of(Store.open(str(tmp_path)), tmp_path)
    entry = put(shelf)
    path = shelf.folder(entry) / files.FACTS_FILE
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(sound)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(CorruptShard):
            shelf.open(entry)


@pytest.mark.parametrize("name", [files.FACTS_FILE, files.ROWS_FILE, files.VECTORS_FILE])
def test_a_missing_file_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    shelf = shelf_of(store, tmp_path)
    entry = put(shelf, "rolled")
    store.delete([f"{PREFIX}/{entry.shard_id}/{name}"])

    with pytest.raises(CorruptShard, match=name):
        shelf.open(entry)


def test_a_shard_in_a_folder_is_read_in_place(tmp_path: Path) -> None:
    shelf = shelf_of(Store.open(str(tmp_path / "root")), tmp_path)

    folder = shelf.folder(put(shelf))

    assert tmp_path / "root" in folder.parents
    assert not (tmp_path / "cache").exists()


def test_a_remote_shard_is_copied_to_the_cache(remote: WatchedStore, tmp_path: Path) -> None:
    shelf = shelf_of(remote, tmp_path)

    folder = shelf.folder(put(shelf, "rolled"))

    assert tmp_path / "cache" in folder.parents
    assert {path.name for path in folder.iterdir()} >= {files.FACTS_FILE, files.ROWS_FILE, files.VECTORS_FILE}


def test_it_is_copied_once(remote: WatchedStore, tmp_path: Path) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf)
    shelf.open(entry)
    remote.read.clear()

    shelf_of(remote, tmp_path).open(entry)

    assert remote.read == []


@pytest.mark.parametrize("name", [files.ROWS_FILE, files.KEYS_FILE, files.VECTORS_FILE, files.TOMBSTONES_FILE])
def test_a_file_with_another_sha256_is_not_copied(remote: WatchedStore, tmp_path: Path, name: str) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf, "rolled")
    sound = remote.get(f"{PREFIX}/{entry.shard_id}/{name}")
    assert sound is not None
    spoil(remote, entry, name, sound[:-1] + bytes([sound[-1] ^ 1]))

    with pytest.raises(CorruptShard, match="sha256"):
        shelf.open(entry)


def test_a_refused_copy_leaves_nothing_in_the_cache(remote: WatchedStore, tmp_path: Path) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf)
    spoil(remote, entry, files.FRESH_FILE, b"damaged")

    with pytest.raises(CorruptShard):
        shelf.open(entry)

    assert list((tmp_path / "cache" / "p00003").iterdir()) == []


def test_a_store_that_goes_away_during_a_copy_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    class Breaking(WatchedStore):
        def download(self, key: str, target: Path) -> str | None:
            target.write_bytes(b"half")
            raise StoreUnavailable("no route")

    shelf = shelf_of(Breaking(), tmp_path)
    entry = put(shelf)

    with pytest.raises(StoreUnavailable):
        shelf.open(entry)
    assert list((tmp_path / "cache" / "p00003").iterdir()) == []


def test_facts_are_checked_before_any_file_they_name_is_copied(remote: WatchedStore, tmp_path: Path) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf)
    sound = remote.get(f"{PREFIX}/{entry.shard_id}/{files.FACTS_FILE}")
    assert sound is not None
    spoil(remote, entry, files.FACTS_FILE, sound + b" ")
    remote.read.clear()

    with pytest.raises(CorruptShard, match="checksum"):
        shelf.folder(entry)

    assert remote.read == [f"{PREFIX}/{entry.shard_id}/{files.FACTS_FILE}"]


@pytest.mark.parametrize("name", [files.FRESH_FILE, files.FACTS_FILE])
def test_a_shard_mended_in_the_store_is_copied_after_all(remote: WatchedStore, tmp_path: Path, name: str) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf)
    sound = remote.get(f"{PREFIX}/{entry.shard_id}/{name}")
    assert sound is not None
    spoil(remote, entry, name, b"damaged")
    with pytest.raises(CorruptShard):
        shelf.open(entry)
    spoil(remote, entry, name, sound)

    assert shelf.open(entry).rows == 20


@pytest.mark.parametrize("name", [files.FRESH_FILE, files.FACTS_FILE])
def test_a_copy_damaged_in_the_cache_is_refused_once_and_then_made_anew(
    remote: WatchedStore, tmp_path: Path, name: str
) -> None:
    shelf = shelf_of(remote, tmp_path)
    entry = put(shelf)
    (shelf.folder(entry) / name).write_bytes(b"bit rot")

    with pytest.raises(CorruptShard):
        shelf.open(entry)

    assert shelf.open(entry).rows == 20


def test_a_damaged_shard_in_a_folder_store_stays_for_people_to_see(tmp_path: Path) -> None:
    shelf = shelf_of(Store.open(str(tmp_path)), tmp_path)
    entry = put(shelf)
    path = shelf.folder(entry) / files.FRESH_FILE
    path.write_bytes(b"bit rot")

    with pytest.raises(CorruptShard):
        shelf.open(entry)

    assert path.read_bytes() == b"bit rot"


def test_searchers_that_share_a_cache_may_copy_at_the_same_time(remote: WatchedStore, tmp_path: Path) -> None:
    entry = put(shelf_of(remote, tmp_path))
    for _ in range(20):
        shutil.rmtree(tmp_path / "cache" / "p00003", ignore_errors=True)
        opened, start = list[int](), threading.Barrier(6)

        def copy(opened: list[int] = opened, start: threading.Barrier = start) -> None:
            start.wait()
            opened.append(shelf_of(remote, tmp_path).open(entry).rows)

        threads = [threading.Thread(target=copy) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert opened == [20] * 6


def test_a_cache_that_cannot_be_written_is_said_so(remote: WatchedStore, tmp_path: Path) -> None:
    entry = put(shelf_of(remote, tmp_path))
    (tmp_path / "no-folder").touch()

    with pytest.raises(StoreUnavailable, match="cache"):
        Shelf(remote, "shop", 3, tmp_path / "no-folder").open(entry)
