"""Processes that share a cache copy each shard once; none waits for ever for one that is stuck."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from tests.builders import MODEL, scattered, singles
from vitrine.index import cache
from vitrine.index.cache import ShardCache
from vitrine.index.manifest import ShardEntry
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.shards.build import write_fresh
from vitrine.shards.table import table_of


class SlowStore(Store):
    """A remote store that counts what is downloaded, and takes its time."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), None)
        self.downloads: list[str] = []

    def download(self, key: str, target: Path) -> str | None:
        self.downloads.append(key)
        time.sleep(0.2)
        return super().download(key, target)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


def shelf_of(store: Store, folder: Path) -> Shelf:
    """As in a process of its own: with a cache object of its own over the same folder."""
    return Shelf(store, "shop", 0, ShardCache(folder))


@pytest.fixture
def entry(store: SlowStore, tmp_path: Path) -> ShardEntry:
    shelf = shelf_of(store, tmp_path / "owner")
    versions = singles(scattered(np.random.default_rng(0), 5))
    return shelf.put(write_fresh(table_of(versions, [], 8), MODEL, shelf.scratch))


def test_a_shard_is_copied_once_by_whoever_comes_first(store: SlowStore, entry: ShardEntry, tmp_path: Path) -> None:
    shelves = [shelf_of(store, tmp_path / "cache") for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda shelf: shelf.open(entry), shelves))

    assert [shard.rows for shard in opened] == [5, 5, 5]
    assert len(store.downloads) == len(set(store.downloads))


def test_a_process_that_is_stuck_copying_holds_the_others_up_only_so_long(
    store: SlowStore, entry: ShardEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "COPY_PATIENCE_S", 0.1)
    stuck = ShardCache(tmp_path / "cache")
    with stuck.copying(tmp_path / "cache" / "p00000" / entry.shard_id):
        shard = shelf_of(store, tmp_path / "cache").open(entry)

    assert shard.rows == 5
