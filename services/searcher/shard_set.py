"""The partitions served here: found at the start, each followed by itself, looked at together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from services.searcher import metrics
from services.searcher.index_source import IndexSource
from services.searcher.partition_reader import NOT_READ, PartitionReader, View
from services.searcher.settings import SearcherSettings
from vitrine.index.cache import ShardCache
from vitrine.index.manifest import ManifestLog
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError
from vitrine.stream.log import Position, Stream

__all__ = ["ShardSet", "View"]

CACHE_INTERVAL_S: Final = 5.0


class ShardSet:
    """The partitions served here. `index` is None until index.json exists."""

    def __init__(self, store: Store, settings: SearcherSettings) -> None:
        self.index: IndexSettings | None = None
        self._store = store
        self._settings = settings
        self._readers: dict[int, PartitionReader] = {}
        self._cache = ShardCache(settings.cache / settings.index, settings.cache_bytes)
        self._source = IndexSource(store, settings.index, settings.cache)
        self._swapped = asyncio.Condition()

    @property
    def partitions(self) -> Sequence[int]:
        return list(self._readers)

    def view(self, partition: int) -> View | str:
        """What the partition answers from, or why it cannot."""
        reader = self._readers.get(partition)
        if reader is None:
            return "not served here"
        return reader.view or reader.failure

    def settled(self, partitions: Iterable[int]) -> bool:
        """Whether nothing has expired there since the views were made: then `current` does not block."""
        return all(reader.settled for partition in partitions if (reader := self._readers.get(partition)) is not None)

    def current(self, partition: int) -> View | str:
        """The same, without what has expired by now. Blocks unless it is `settled`."""
        reader = self._readers.get(partition)
        if reader is None:
            return "not served here"
        return reader.current() or reader.failure

    def failure(self, partition: int) -> str:
        """Why the partition's newest manifest is not served; empty if it is."""
        return self._readers[partition].failure

    def not_ready(self) -> str | None:
        """Ready once every partition served here has been read and at least one can answer.

        A damaged partition must not take those beside it away: it is said in coverage, status and metrics.
        """
        if self.index is None:
            return self._source.missing
        missing = [f"partition {p}: {reader.failure}" for p, reader in self._readers.items() if reader.view is None]
        unread = any(reader.failure == NOT_READ for reader in self._readers.values())
        return "; ".join(missing) if unread or len(missing) == len(self._readers) else None

    async def reached(self, place: Position, timeout_s: float) -> bool:
        """Waits until `place` is indexed. False if `timeout_s` passes first."""
        reader = self._readers.get(place.partition)
        if reader is None:
            return False

        def indexed() -> bool:
            if reader.view is None:
                return False
            manifest = reader.view.manifest
            next_offset: int = manifest.next_live_offset if place.stream is Stream.LIVE else manifest.next_offset
            return next_offset > place.offset

        if indexed():
            return True
        try:
            async with asyncio.timeout(timeout_s), self._swapped:
                await self._swapped.wait_for(indexed)
        except TimeoutError:
            return False
        return True

    def require_start(self) -> None:
        """Blocks. Raises ConfigError: `store` if it cannot be read and nothing was copied here before, `partitions`."""
        if self._source.kept() is None:
            self._store.require_reachable()
        if (index := self._source.stored()) is not None:
            self._require_partitions(index)

    async def follow(self) -> None:
        """Follows the manifests until cancelled. Raises ConfigError where the index is no longer what is served."""
        await asyncio.to_thread(self._find_index)
        while self.index is None:
            await asyncio.sleep(self._settings.probe_interval_s)
            await asyncio.to_thread(self._find_index)
        # Each by itself: a partition that copies a big shard must not make the others older.
        following = [self._follow(reader) for reader in self._readers.values()]
        cached = [self._confirm(self.index), self._tend_cache()] if self._source.is_remote else []
        await asyncio.gather(*following, *cached)

    async def _follow(self, reader: PartitionReader) -> None:
        while True:
            if await asyncio.to_thread(reader.refresh):
                async with self._swapped:
                    self._swapped.notify_all()
            await asyncio.sleep(self._settings.probe_interval_s)

    async def _tend_cache(self) -> None:
        while True:
            await asyncio.to_thread(self._cache.make_room)
            metrics.CACHE_BYTES.set(self._cache.size_bytes)
            metrics.CACHE_BOUND_BYTES.set(self._cache.bound_bytes)
            metrics.CACHE_SPARED_BYTES.set(self._cache.spared_bytes)
            await asyncio.sleep(CACHE_INTERVAL_S)

    async def _confirm(self, served: IndexSettings) -> None:
        """Compares an index that came from the cache as soon as it can be, and keeps it for the next start."""
        while (stored := await asyncio.to_thread(self._source.stored)) is None:  # noqa: ASYNC110  (a store sends no event)
            await asyncio.sleep(self._settings.probe_interval_s)
        if stored != served:
            raise ConfigError("index.json", "is another than the one served from the cache: start again")
        await asyncio.to_thread(self._source.keep, stored)

    def _find_index(self) -> None:
        index = self._source.stored()
        if (away := self._source.away) is not None:
            index = self._source.kept()
        if index is None:
            return
        self._require_partitions(index)
        wanted = self._settings.partitions or range(index.partitions)
        self._readers = {partition: self._reader(index, partition) for partition in wanted}
        if away is not None:
            # At once: to ask the store for each partition first would take seconds for each.
            for reader in self._readers.values():
                reader.serve_last(away)
        metrics.RECALL_TARGET.set(index.recall_target)
        self.index = index

    def _require_partitions(self, index: IndexSettings) -> None:
        if absent := [partition for partition in self._settings.partitions if not 0 <= partition < index.partitions]:
            raise ConfigError("partitions", f"{absent} are none of the {index.partitions} of index {index.name!r}")

    def _reader(self, index: IndexSettings, partition: int) -> PartitionReader:
        shelf = Shelf(self._store, index.name, partition, self._cache)
        # Room must not be made by what the next moment will be served from.
        shelf.hold(last.shards if (last := shelf.served()) else ())
        log = ManifestLog(self._store, index.name, partition)
        return PartitionReader(log, shelf, partition, index.dim, self._settings.list_interval_s)
