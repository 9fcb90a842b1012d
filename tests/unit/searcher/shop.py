"""An index in a store that can go away, its owner, and searchers that follow it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from obstore.store import MemoryStore
from prometheus_client import REGISTRY

from services.searcher.partition_reader import View
from services.searcher.settings import SearcherSettings
from services.searcher.shard_set import ShardSet
from tests.builders import MODEL, product, scattered, searched
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.ownership import PartitionOwner
from vitrine.index.settings import IndexSettings, create_or_check
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import StoreUnavailable
from vitrine.shards.build import write_fresh
from vitrine.shards.table import table_of

DIM = 8


class AwayStore(Store):
    """A remote store; while `away`, nothing can be read, and what is below `stuck` waits for `released` before."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), None)
        self.away = False
        self.stuck = "nothing"
        self.released = threading.Event()

    def get(self, key: str) -> bytes | None:
        self._check(key)
        return super().get(key)

    def download(self, key: str, target: Path) -> str | None:
        self._check(key)
        return super().download(key, target)

    def modified_s(self, prefix: str) -> dict[str, float]:
        self._check(prefix)
        return super().modified_s(prefix)

    def _check(self, key: str) -> None:
        if self.stuck in key:
            self.released.wait(20)
        if self.away:
            raise StoreUnavailable(f"store: no route ({time.monotonic()} s)")


class Shop:
    """One partition, in `store`, with an owner that publishes."""

    def __init__(self, folder: Path, store: Store, model_id: str = MODEL) -> None:
        self.folder = folder
        self.store = store
        create_or_check(store, IndexSettings("shop", DIM, model_id, partitions=1))
        self._shelf = Shelf(store, "shop", 0, folder / "owner")
        self._owner = PartitionOwner.claim(ManifestLog(store, "shop", 0), "log")

    def shard(self, *product_ids: str) -> ShardEntry:
        """Stores a shard of these products."""
        rng = np.random.default_rng(len(product_ids))
        versions = [product(product_id, scattered(rng, 1, DIM)) for product_id in product_ids]
        return self._shelf.put(write_fresh(table_of(versions, [], DIM), MODEL, self._shelf.scratch))

    def publish(self, *shards: ShardEntry, **changes: Any) -> Manifest:
        return self._owner.publish(shards=shards, **changes)

    def searcher(self, **settings: Any) -> ShardSet:
        """One whose cache all searchers of this shop share."""
        chosen = {"cache": self.folder / "cache", "probe_interval_s": 0.01, "port": 1, "http_port": 1, **settings}
        return ShardSet(self.store, SearcherSettings(store="unused", index="shop", **chosen))


@asynccontextmanager
async def following(searcher: ShardSet) -> AsyncIterator[ShardSet]:
    task = asyncio.create_task(searcher.follow())
    try:
        yield searcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], patience_s: float = 10) -> None:
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "it does not hold"
        await asyncio.sleep(0.01)


def version_of(searcher: ShardSet) -> int | None:
    """Number of the manifest being served; None if none is."""
    view = searcher.view(0)
    return view.manifest.version if isinstance(view, View) else None


def product_ids(searcher: ShardSet) -> list[str]:
    view = searcher.view(0)
    assert isinstance(view, View), view
    found = searched(view.snapshot, np.ones((1, DIM), np.float32), 100, exact=True)[0]
    return sorted(hit.product_id for hit in found)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
