"""What each partition answers from now, and how it follows the manifests. A view is swapped whole, never edited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.searcher import metrics
from services.searcher.settings import SearcherSettings
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.settings import IndexSettings, load
from vitrine.index.shelf import Shelf
from vitrine.index.store import Store
from vitrine.runtime.errors import CorruptManifest, CorruptShard, UnknownIndex, VitrineError
from vitrine.runtime.logs import logger
from vitrine.runtime.memory import return_what_is_free
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot

NOT_READ: Final = "not read yet"


class View(NamedTuple):
    """A manifest and its shards, open and warm."""

    manifest: Manifest
    snapshot: Snapshot


class PartitionReader:
    """Follows one partition's manifests. `view` is replaced whole; a query keeps the one it began with."""

    def __init__(self, log: ManifestLog, shelf: Shelf, partition: int, dim: int, list_interval_s: float) -> None:
        self.view: View | None = None
        self.failure = NOT_READ
        self._log = log
        self._shelf = shelf
        self._partition = partition
        self._dim = dim
        self._list_interval_s = list_interval_s
        self._listed_s = float("-inf")
        self._open: dict[str, Shard] = {}
        self._refused: set[str] = set()

    def refresh(self) -> bool:
        """Looks for a newer manifest and opens it. Blocks. True if the view was replaced.

        A manifest whose shards cannot all be trusted is not served: without one of them, products it hides in older
        shards would come back. The view from before goes on answering, and the failure is said.
        """
        try:
            found = self._newest()
            if found is None:
                return self._expire()
            started = time.perf_counter()
            shards = [self._shard(entry) for entry in found.shards]
        except VitrineError as error:
            self._report(error)
            return False
        previous = self.view.snapshot if self.view else None
        snapshot = Snapshot.of(shards, self._dim, _now_us(), previous)
        fewer = len(shards) < len(self._open)
        self._open = {shard.facts.shard_id: shard for shard in shards}
        self.view, self.failure = View(found, snapshot), ""
        if fewer:
            return_what_is_free()
        metrics.SWAP_SECONDS.observe(time.perf_counter() - started)
        self._measure()
        return True

    def _newest(self) -> Manifest | None:
        """A manifest newer than the view's, or None. Probes the next numbers; lists now and then, and at first."""
        known = self.view.manifest.version if self.view else 0
        if self.view is None or time.monotonic() - self._listed_s > self._list_interval_s:
            newest, damaged = self._log.latest()
            for error in damaged:
                self._report(error)
            self._listed_s = time.monotonic()
            return newest if newest.version > known or self.view is None else None
        newest_probed = None
        while (probed := self._log.get(known + 1)) is not None:
            newest_probed, known = probed, known + 1
        return newest_probed

    def _shard(self, entry: ShardEntry) -> Shard:
        already = self._open.get(entry.shard_id)
        return already if already is not None else self._shelf.open(entry)

    def _expire(self) -> bool:
        if self.view is None:
            return False
        snapshot = self.view.snapshot.at(_now_us())
        if snapshot is self.view.snapshot:
            return False
        self.view = View(self.view.manifest, snapshot)
        self._measure()
        return True

    def _report(self, error: VitrineError) -> None:
        # The next probe meets the same failure; a listing finds the way around it. Each is counted and logged once.
        self._listed_s = float("-inf")
        self.failure = str(error)
        if self.failure in self._refused:
            return
        self._refused.add(self.failure)
        if isinstance(error, CorruptShard):
            metrics.REFUSED_SHARDS.labels(self._partition).inc()
        if isinstance(error, CorruptManifest):
            metrics.REFUSED_MANIFESTS.labels(self._partition).inc()
        logger().error("manifest not served", partition=self._partition, reason=self.failure)

    def _measure(self) -> None:
        assert self.view is not None
        shards = [entry.shard.facts for entry in self.view.snapshot.shards]
        metrics.VERSION.labels(self._partition).set(self.view.manifest.version)
        metrics.ROWS_LIVE.labels(self._partition).set(self.view.snapshot.rows_live)
        metrics.INDEX_AGE.labels(self._partition).set(self.view.manifest.index_time_us / 1e6)
        metrics.RECALL.labels(self._partition).set(min((facts.plan.recall_at(10) for facts in shards), default=1.0))
        for kind in ("fresh", "rolled"):
            metrics.SHARDS.labels(self._partition, kind).set(sum(facts.kind == kind for facts in shards))


class ShardSet:
    """The partitions served here. `index` is None until index.json exists."""

    def __init__(self, store: Store, settings: SearcherSettings) -> None:
        self.index: IndexSettings | None = None
        self._store = store
        self._settings = settings
        self._readers: dict[int, PartitionReader] = {}
        self._swapped = asyncio.Condition()

    @property
    def partitions(self) -> Sequence[int]:
        return list(self._readers)

    def view(self, partition: int) -> View | str:
        """What the partition answers from, or why it cannot."""
        reader = self._readers.get(partition)
        if reader is None:
            return "not served here"
        view = reader.view
        if view is None:
            return reader.failure
        snapshot = view.snapshot.at(_now_us())
        return view if snapshot is view.snapshot else View(view.manifest, snapshot)

    def failure(self, partition: int) -> str:
        """Why the partition's newest manifest is not served; empty if it is."""
        return self._readers[partition].failure

    def not_ready(self) -> str | None:
        """Ready once every partition served here has been read and at least one can answer.

        A damaged partition must not take those beside it away: it is said in coverage, status and metrics.
        """
        if self.index is None:
            return f"index {self._settings.index!r} does not exist yet"
        missing = [f"partition {p}: {reader.failure}" for p, reader in self._readers.items() if reader.view is None]
        unread = any(reader.failure == NOT_READ for reader in self._readers.values())
        return "; ".join(missing) if unread or len(missing) == len(self._readers) else None

    async def reached(self, partition: int, offset: int, timeout_s: float) -> bool:
        """Waits until the partition has indexed `offset`. False if `timeout_s` passes first."""
        reader = self._readers.get(partition)
        if reader is None:
            return False

        def indexed() -> bool:
            return reader.view is not None and reader.view.manifest.next_offset > offset

        if indexed():
            return True
        try:
            async with asyncio.timeout(timeout_s), self._swapped:
                await self._swapped.wait_for(indexed)
        except TimeoutError:
            return False
        return True

    async def follow(self) -> None:
        """Follows the manifests until cancelled."""
        while True:
            if self.index is None:
                await asyncio.to_thread(self._find_index)
            swapped = [await asyncio.to_thread(reader.refresh) for reader in self._readers.values()]
            if any(swapped):
                async with self._swapped:
                    self._swapped.notify_all()
            await asyncio.sleep(self._settings.probe_interval_s)

    def _find_index(self) -> None:
        try:
            index = load(self._store, self._settings.index)
        except UnknownIndex:
            return
        wanted = self._settings.partitions or range(index.partitions)
        self._readers = {partition: self._reader(index, partition) for partition in wanted}
        self.index = index

    def _reader(self, index: IndexSettings, partition: int) -> PartitionReader:
        log = ManifestLog(self._store, index.name, partition)
        shelf = Shelf(self._store, index.name, partition, self._settings.cache / index.name)
        return PartitionReader(log, shelf, partition, index.dim, self._settings.list_interval_s)


def _now_us() -> int:
    return time.time_ns() // 1_000
