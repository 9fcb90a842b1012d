"""Step 4: shards and the offset they reach, published together; rolled shards, in the place of what they merge."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from services.indexer import metrics
from services.indexer.build import build_fresh, merge_fresh
from services.indexer.compact import DEAD_SHARE, Run, build_rolled, chosen_run
from services.indexer.settings import IndexerSettings
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.ownership import PartitionOwner
from vitrine.index.retention import Collector
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.shards.records import Change
from vitrine.shards.snapshot import Snapshot

# The next commit after this many merges them: a searcher opens, and a manifest lists, no more.
MAX_FRESH_SHARDS: Final = 16


class Publisher:
    """The owner of one partition. Commits come one at a time; a roll is built beside them and published between two."""

    def __init__(self, index: IndexSettings, owner: PartitionOwner, shelf: Shelf, collector: Collector) -> None:
        self._index = index
        self._owner = owner
        self._shelf = shelf
        self._collector = collector
        self._rolling: Run | None = None
        self._survey: Snapshot | None = None
        self._surveyed_s = time.monotonic()
        # Guards the manifest: held while one is published, never while a roll is built.
        self._lock = threading.Lock()
        self._last_change_s = time.monotonic()
        self._oldest_fresh_s: float | None = time.monotonic() if self._fresh_count() else None

    @staticmethod
    def claim(index: IndexSettings, log: ManifestLog, shelf: Shelf, log_id: str) -> Publisher:
        """Takes the partition. Raises StreamGap, Fenced, StoreUnavailable."""
        shelf.clear_scratch()
        return Publisher(index, PartitionOwner.claim(log, log_id), shelf, Collector(log, shelf))

    @property
    def manifest(self) -> Manifest:
        return self._owner.manifest

    def commit(self, changes: Sequence[Change], next_offset: int, index_time_us: int) -> None:
        """Publishes `changes` and `next_offset` together. Blocks. Raises Fenced, StoreUnavailable.

        A commit that failed may be tried again: until the manifest is there nothing has happened.
        """
        with self._lock:
            shards = list(self.manifest.shards)
            if changes:
                folder = build_fresh(changes, self._index.dim, self._index.model_id, self._shelf.scratch)
                shards.append(self._shelf.put(folder))
                shards = self._few_enough(shards)
            self._owner.publish(shards, next_offset, index_time_us)
            if changes:
                self._last_change_s = time.monotonic()
                self._oldest_fresh_s = self._oldest_fresh_s or self._last_change_s

    def collect(self) -> tuple[int, int]:
        """Removes manifests and shards that nothing needs. Returns how many of each. Blocks.

        Raises StoreUnavailable, CorruptManifest.
        """
        return self._collector.collect()

    def run_due(self, settings: IndexerSettings, roll_now: bool, survey_now: bool) -> Run | None:
        """What should be rolled or compacted, if anything. Blocks.

        `roll_now`: everything fresh should be rolled. `survey_now`: dead rows should be counted, however recently
        they were. Raises CorruptShard, StoreUnavailable.
        """
        idle_s = time.monotonic() - self._last_change_s
        age_s = time.monotonic() - self._oldest_fresh_s if self._oldest_fresh_s else 0.0
        fresh_rows = sum(entry.rows for entry in self.manifest.shards if entry.kind == "fresh")
        due = (
            roll_now
            or fresh_rows >= settings.roll_rows
            or (fresh_rows >= settings.roll_idle_rows and idle_s >= settings.roll_idle_s)
            or age_s >= settings.roll_age_s
        )
        return chosen_run(self.manifest.shards, due) or self._mostly_dead(settings.survey_interval_s, survey_now)

    def _mostly_dead(self, interval_s: float, now: bool) -> Run | None:
        """A rolled shard of which too much is dead, looked for now and then: it takes all shards, open."""
        if not now and time.monotonic() - self._surveyed_s < interval_s:
            return None
        self._surveyed_s = time.monotonic()
        entries = self.manifest.shards
        if not any(entry.kind == "rolled" for entry in entries):
            return None
        known = {live.shard.facts.shard_id: live.shard for live in self._survey.shards} if self._survey else {}
        shards = [known.get(entry.shard_id) or self._shelf.open(entry) for entry in entries]
        self._survey = Snapshot.of(shards, self._index.dim, time.time_ns() // 1_000, self._survey)
        for entry, live in zip(entries, self._survey.shards, strict=True):
            if entry.kind == "rolled" and live.live_share < 1 - DEAD_SHARE and entry.rows:
                return Run((entry,))
        return None

    def roll(self, run: Run) -> int:
        """Builds one rolled shard from `run` and publishes it in the run's place. Blocks.

        Returns the fresh rows that are now rolled; 0 if the run changed meanwhile and the work was thrown away.
        """
        with self._lock:
            place = self._place_of(run)
            if place is None:
                return 0  # a commit has merged some of it since it was chosen
            self._rolling = run
            entries = self.manifest.shards[place:]
        try:
            folders = [self._shelf.folder(entry) for entry in entries]
            with metrics.ROLL_SECONDS.time():
                built = build_rolled(folders, len(run.entries), place == 0, self._index, self._shelf.scratch)
            return self._put_in_place(run, self._shelf.put(built))
        finally:
            self._rolling = None

    def _put_in_place(self, run: Run, rolled: ShardEntry) -> int:
        with self._lock:
            shards, place = self.manifest.shards, self._place_of(run)
            if place is None:
                return 0
            # Where everything in the run was dead and nothing older is left to hide, nothing takes its place.
            kept = (rolled,) if rolled.rows or rolled.tombstones else ()
            replaced = (*shards[:place], *kept, *shards[place + len(run.entries) :])
            self._owner.publish(replaced, self.manifest.next_offset, self.manifest.index_time_us)
            self._oldest_fresh_s = time.monotonic() if self._fresh_count() else None
        metrics.ROLLS.labels("roll" if run.fresh else "compaction").inc()
        return sum(entry.rows for entry in run.entries if entry.kind == "fresh")

    def _place_of(self, run: Run) -> int | None:
        """Where the run begins in the manifest, or None if it is no longer there as it was."""
        shards, first = self.manifest.shards, run.entries[0]
        place = shards.index(first) if first in shards else len(shards)
        return place if shards[place : place + len(run.entries)] == run.entries else None

    def _few_enough(self, shards: list[ShardEntry]) -> list[ShardEntry]:
        """Merges the newest fresh shards, those not being rolled, once there are too many."""
        rolling = set(self._rolling.entries) if self._rolling else set()
        first = len(shards)
        while first > 0 and shards[first - 1].kind == "fresh" and shards[first - 1] not in rolling:
            first -= 1
        if len(shards) - first <= MAX_FRESH_SHARDS:
            return shards
        opened = [self._shelf.open(entry) for entry in shards[first:]]
        folder = merge_fresh(opened, self._index.model_id, first == 0, self._shelf.scratch)
        return [*shards[:first], self._shelf.put(folder)]

    def _fresh_count(self) -> int:
        return sum(entry.kind == "fresh" for entry in self.manifest.shards)
