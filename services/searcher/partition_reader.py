"""How one partition's manifests are followed, and what it answers from now. A view is swapped whole, never edited."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.searcher import metrics
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.shelf import Shelf
from vitrine.runtime.errors import CorruptManifest, CorruptShard, StoreUnavailable, VitrineError
from vitrine.runtime.logs import logger
from vitrine.runtime.memory import return_what_is_free
from vitrine.runtime.metrics import begin_at_zero
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
        self.from_cache = False
        self._log = log
        self._shelf = shelf
        self._partition = partition
        self._dim = dim
        self._list_interval_s = list_interval_s
        self._listed_s = float("-inf")
        self._open: dict[str, Shard] = {}
        self._refused: set[str] = set()
        self._away = ""
        self._expiring = threading.Lock()
        begin_at_zero(metrics.REFUSED_SHARDS, partition)
        begin_at_zero(metrics.REFUSED_MANIFESTS, partition)

    def refresh(self) -> bool:
        """Looks for a newer manifest and opens it. Blocks. True if the view was replaced.

        A manifest whose shards cannot all be trusted is not served: without one of them, products it hides in older
        shards would come back. The view from before goes on answering, and the failure is said.
        """
        try:
            found, probed = self._newest()
            swapped = self._expire() if found is None else self._serve(found)
        except StoreUnavailable as error:
            self._lose(error)
            return self.serve_last(error)
        except VitrineError as error:
            self._report(error)
            return False
        self._regain()
        for manifest in probed:
            for append_us in manifest.sampled_append_us:
                metrics.FRESHNESS_SECONDS.observe(max(0, now_us() - append_us) / 1e6)
        return swapped

    def serve_last(self, error: StoreUnavailable) -> bool:
        """Where nothing is served and the store cannot be read: what this machine served last. True if that is whole.

        It is said, and goes on only until the store can be read again.
        """
        last = self._shelf.served() if self.view is None else None
        if last is None:
            return False
        self.from_cache = True
        try:
            self._serve(last)
        except VitrineError as damage:
            self.from_cache = False
            self._report(damage)
            return False
        self._lose(error)
        return True

    def _serve(self, found: Manifest) -> bool:
        started = time.perf_counter()
        with self._shelf.holding(found.shards):
            shards = [self._shard(entry) for entry in found.shards]
            # What a rollback has taken back may have hidden rows: they are looked at anew.
            known = self.view if self.view and self.view.manifest.rewinds == found.rewinds else None
            previous = known.snapshot if known else None
            snapshot = Snapshot.of(shards, self._dim, now_us(), previous)
            fewer = len(shards) < len(self._open)
            self._open = {shard.facts.shard_id: shard for shard in shards}
            with self._expiring:
                self.view, self.failure = View(found, snapshot), ""
            self._shelf.serve(found)
        if fewer:
            return_what_is_free()
        metrics.SWAP_SECONDS.observe(time.perf_counter() - started)
        self._measure()
        return True

    def _newest(self) -> tuple[Manifest | None, Sequence[Manifest]]:
        """The manifest to serve next, if any, and all that probing came by: what they brought can be found from then.

        Probes the next numbers; lists now and then, at first, and until the store has been read.
        """
        if self.view is None or self.from_cache or time.monotonic() - self._listed_s > self._list_interval_s:
            return self._listed(), ()
        probed, known = list[Manifest](), self.view.manifest.version
        while (manifest := self._log.get(known + 1 + len(probed))) is not None:
            probed.append(manifest)
        return (probed[-1] if probed else None), probed

    def _listed(self) -> Manifest | None:
        newest, damaged = self._log.latest()
        for error in damaged:
            self._report(error)
        self._listed_s = time.monotonic()
        if self.view is None:
            return newest
        known = self.view.manifest
        # The cache may be of an index that has been made anew since: then its numbers say nothing.
        return newest if newest.version > known.version or (self.from_cache and newest != known) else None

    def _shard(self, entry: ShardEntry) -> Shard:
        already = self._open.get(entry.shard_id)
        return already if already is not None else self._shelf.open(entry)

    @property
    def settled(self) -> bool:
        """Whether nothing has expired since the view was made."""
        return self.view is None or now_us() < self.view.snapshot.next_expiry_us

    def current(self) -> View | None:
        """The view without what has expired by now. Blocks for as long as that takes, once an expiry."""
        view, moment_us = self.view, now_us()
        if view is None or moment_us < view.snapshot.next_expiry_us:
            return view
        with self._expiring:
            if self.view is view:
                self.view = View(view.manifest, view.snapshot.at(moment_us))
        return self.view

    def _expire(self) -> bool:
        before = self.view
        if self.current() is before:
            return False
        self._measure()
        return True

    def _lose(self, error: StoreUnavailable) -> None:
        """The store cannot be read: what is served goes on, and that it may be old is said."""
        self._listed_s = float("-inf")
        if not self._away:
            logger().warning("store cannot be read", partition=self._partition, reason=str(error))
        served = (
            f"manifest {self.view.manifest.version} is served from the cache: " if self.from_cache and self.view else ""
        )
        self.failure = self._away = f"{served}{error}"

    def _regain(self) -> None:
        if not self._away:
            return
        logger().info("store can be read again", partition=self._partition)
        if self.failure == self._away:
            self.failure = ""
        self._away, self.from_cache = "", False
        metrics.FROM_CACHE.labels(self._partition).set(0)

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
        metrics.FROM_CACHE.labels(self._partition).set(self.from_cache)
        metrics.VERSION.labels(self._partition).set(self.view.manifest.version)
        metrics.ROWS_LIVE.labels(self._partition).set(self.view.snapshot.rows_live)
        metrics.INDEX_AGE.labels(self._partition).set(self.view.manifest.index_time_us / 1e6)
        metrics.SHARDS_BELOW_TARGET.labels(self._partition).set(sum(not facts.plan.reached for facts in shards))
        for k in (10, 100):
            recall = min((facts.plan.recall_at(k) for facts in shards), default=1.0)
            metrics.BUILT_RECALL.labels(self._partition, k).set(recall)
        for kind in ("fresh", "rolled"):
            metrics.SHARDS.labels(self._partition, kind).set(sum(facts.kind == kind for facts in shards))


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000
