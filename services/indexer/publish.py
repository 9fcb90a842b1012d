"""Step 4: shards and the offsets they reach, published together; rolled shards, in the place of what they merge."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.indexer import metrics
from services.indexer.build import Versioned, build_fresh, merge_fresh, newest, surely_expired_us
from services.indexer.compact import DEAD_SHARE, RollRules, Run, build_rolled, chosen_run
from vitrine.index.manifest import Manifest, ManifestLog, ShardEntry
from vitrine.index.ownership import Offsets, PartitionOwner
from vitrine.index.retention import Collector
from vitrine.index.settings import IndexSettings
from vitrine.index.shelf import Shelf
from vitrine.runtime import failpoints
from vitrine.runtime.errors import CorruptShard, InvalidArgument, NotFound, StoreUnavailable, Unavailable
from vitrine.runtime.logs import logger
from vitrine.shards.lookup import newest_live, newest_mention
from vitrine.shards.records import Change, LiveVersion, ProductVersion
from vitrine.shards.shard import Shard
from vitrine.shards.snapshot import Snapshot

NewestOf = Callable[[Sequence[Shard], str], Change | LiveVersion | None]

# The next commit after this many merges them: a searcher opens, and a manifest lists, no more.
MAX_FRESH_SHARDS: Final = 16


@dataclass(frozen=True)
class Commit:
    """What one commit brings, and how far it reaches: the first offsets of both streams that are not in it.

    index_time_us, synced_us, sampled_append_us: as in Manifest.
    """

    changes: Sequence[Change] = ()
    live: Sequence[LiveVersion] = ()
    next_offset: int = 0
    next_live_offset: int = 0
    index_time_us: int = 0
    synced_us: int = 0
    sampled_append_us: tuple[int, ...] = ()


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
        self._open: dict[str, Shard] = {}
        # Guards the manifest: held while one is published, never while a roll is built.
        self._lock = threading.Lock()
        self._collecting = threading.Lock()
        self._last_change_s = time.monotonic()
        self._oldest_fresh_s: float | None = time.monotonic() if self._fresh_count() else None

    @staticmethod
    def claim(
        index: IndexSettings,
        log: ManifestLog,
        shelf: Shelf,
        log_id: str,
        begin_at: Offsets | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Publisher:
        """Takes the partition. Blocks. Raises StreamGap, Fenced, StoreUnavailable, CorruptManifest.

        `begin_at`: where to go on in a log that is not the one it was indexed from, which is refused otherwise.
        `wanted`: asked last of all; if not, it is Fenced.
        """
        with failpoints.step("claim"):
            owner = PartitionOwner.claim(log, log_id, begin_at=begin_at, wanted=wanted)
        shelf.clear_scratch()
        publisher = Publisher(index, owner, shelf, Collector(log, shelf))
        publisher.open_shards()
        return publisher

    @property
    def manifest(self) -> Manifest:
        return self._owner.manifest

    def open_shards(self) -> None:
        """Opens what the manifest names, to look products up in. One that is damaged is left out, and said. Blocks."""
        entries = self.manifest.shards
        self._shelf.hold(entries)
        found = {}
        for entry in entries:
            try:
                found[entry.shard_id] = self._open.get(entry.shard_id) or self._shelf.open(entry)
            except (CorruptShard, Unavailable) as error:
                logger().error("shard not opened", partition=self.manifest.partition, reason=str(error))
        self._open = found
        metrics.UNREADABLE.labels(self.manifest.partition).set(len(entries) - len(found))

    def known(self, product_ids: Iterable[str]) -> dict[str, ProductVersion]:
        """Those of the products that have images in the index now, with their vectors. Blocks."""
        shards = self._opened(self.manifest.shards)
        found = {product_id: newest_mention(shards, product_id) for product_id in product_ids}
        return {name: version for name, version in found.items() if isinstance(version, ProductVersion)}

    def commit(self, commit: Commit) -> int:
        """Publishes shards and offsets together. Blocks. Raises Fenced, StoreUnavailable, CorruptShard.

        Returns how many changes were left out because the index holds newer ones: events published again, too late.
        A commit that failed may be tried again: until the manifest is there nothing has happened.
        """
        with self._lock, failpoints.step("commit"):
            changes, live = newest(commit.changes), newest(commit.live)
            late = self._late(changes, self.manifest.next_offset, newest_mention)
            late_live = self._late(live, self.manifest.next_live_offset, newest_live)
            changes = [change for change in changes if change.product_id not in late]
            live = [version for version in live if version.product_id not in late_live]
            shards = list(self.manifest.shards)
            if changes or live:
                folder = build_fresh(changes, live, self._index, self._shelf.scratch)
                shards.append(self._put(folder))
                shards = self._few_enough(shards)
            self._owner.publish(
                shards=tuple(shards),
                next_offset=commit.next_offset,
                next_live_offset=commit.next_live_offset,
                index_time_us=commit.index_time_us,
                synced_us=commit.synced_us,
                sampled_append_us=commit.sampled_append_us,
            )
            if changes or live:
                self.open_shards()
                self._last_change_s = time.monotonic()
                self._oldest_fresh_s = self._oldest_fresh_s or self._last_change_s
            return len(late) + len(late_live)

    def roll_back(self, version: int) -> None:
        """Makes an older manifest current again, and pauses the partition. Blocks.

        Raises NotFound, CorruptManifest, CorruptShard, Fenced, StoreUnavailable.
        """
        with self._collecting, self._lock:
            old = self._owner.manifest_at(version)
            if old is None:
                raise NotFound(f"version: there is no manifest {version} of partition {self.manifest.partition}")
            for entry in old.shards:
                self._shelf.open(entry)
            self._owner.publish(
                shards=old.shards,
                next_offset=old.next_offset,
                next_live_offset=old.next_live_offset,
                index_time_us=old.index_time_us,
                synced_us=old.synced_us,
                rewinds=self.manifest.rewinds + 1,
                paused=f"rolled back to manifest {version}",
            )
            self._survey = None
            self.open_shards()

    def pause(self, reason: str) -> None:
        """Nothing is read any more, by whoever owns the partition, until it is resumed. Blocks. Raises as `commit`."""
        with self._lock:
            self._owner.publish(paused=reason)

    def resume(self, skip_to: int | None = None, skip_live_to: int | None = None) -> None:
        """Ends a pause. What is skipped is never read. Blocks. Raises InvalidArgument, Fenced, StoreUnavailable."""
        with self._lock:
            manifest = self.manifest
            for field, offset, least in (
                ("skip_to", skip_to, manifest.next_offset),
                ("skip_live_to", skip_live_to, manifest.next_live_offset),
            ):
                if offset is not None and offset < least:
                    raise InvalidArgument(field, f"{offset} lies before {least}: to read again, roll back")
            self._owner.publish(
                paused="",
                next_offset=manifest.next_offset if skip_to is None else skip_to,
                next_live_offset=manifest.next_live_offset if skip_live_to is None else skip_live_to,
                # Who skips takes the index for complete as it is then.
                synced_us=manifest.synced_us if skip_to is None and skip_live_to is None else time.time_ns() // 1_000,
            )

    def collect(self) -> tuple[int, int]:
        """Removes manifests and shards that nothing needs. Returns how many of each. Blocks.

        Raises StoreUnavailable, CorruptManifest.
        """
        # Not while a rollback makes an older manifest current: its shards would be taken for unused ones.
        with self._collecting:
            return self._collector.collect(self.manifest.writer_epoch)

    def run_due(self, rules: RollRules, roll_now: bool, survey_now: bool) -> Run | None:
        """What should be rolled or compacted, if anything. Blocks.

        `roll_now`: everything fresh should be rolled. `survey_now`: dead rows should be counted, however recently
        they were. Raises CorruptShard, StoreUnavailable.
        """
        idle_s = time.monotonic() - self._last_change_s
        age_s = time.monotonic() - self._oldest_fresh_s if self._oldest_fresh_s else 0.0
        fresh = [entry for entry in self.manifest.shards if entry.kind == "fresh"]
        due = roll_now or rules.due(fresh, idle_s, age_s)
        return chosen_run(self.manifest.shards, due) or self._mostly_dead(rules.survey_interval_s, survey_now)

    def everything(self) -> Run | None:
        """All shards as one run, or None if there is nothing to gain."""
        entries = self.manifest.shards
        return Run(entries) if entries and (len(entries) > 1 or entries[0].kind == "fresh") else None

    def _mostly_dead(self, interval_s: float, now: bool) -> Run | None:
        """A rolled shard of which too much is dead, looked for now and then: it takes all shards, open."""
        if not now and time.monotonic() - self._surveyed_s < interval_s:
            return None
        self._surveyed_s = time.monotonic()
        entries = self.manifest.shards
        if not any(entry.kind == "rolled" and entry.rows for entry in entries):
            return None
        known = {live.shard.facts.shard_id: live.shard for live in self._survey.shards} if self._survey else {}
        shards = [known.get(entry.shard_id) or self._opened_one(entry) for entry in entries]
        self._survey = Snapshot.of(shards, self._index.dim, surely_expired_us(), self._survey)
        for entry, live in zip(entries, self._survey.shards, strict=True):
            if entry.kind == "rolled" and live.live_share < 1 - DEAD_SHARE and entry.rows:
                return Run((entry,))
        return None

    def roll(self, run: Run) -> int:
        """Builds one rolled shard from `run` and publishes it in the run's place. Blocks.

        Returns the rows that were rewritten; 0 if the run changed meanwhile and the work was thrown away.
        """
        with self._lock:
            place = self._place_of(run)
            if place is None:
                return 0  # a commit has merged some of it since it was chosen
            self._rolling = run
            rewinds = self.manifest.rewinds
            entries = self.manifest.shards[place:]
        try:
            with failpoints.step("roll" if run.fresh else "compact"), self._shelf.holding(entries):
                folders = [self._shelf.folder(entry) for entry in entries]
                with metrics.ROLL_SECONDS.time():
                    built = build_rolled(folders, len(run.entries), place == 0, self._index, self._shelf.scratch)
                rolled = self._put(built)
                # Opened, which reads all of it, before it is published: no commit waits for that.
                opened = self._shelf.open(rolled)
                with self._lock:
                    self._open = {**self._open, rolled.shard_id: opened}
                return self._put_in_place(run, rolled, rewinds)
        finally:
            self._rolling = None

    def _put_in_place(self, run: Run, rolled: ShardEntry, rewinds: int) -> int:
        with self._lock:
            shards, place = self.manifest.shards, self._place_of(run)
            # After a rollback it lacks rows: those that newer shards had hidden which are gone now.
            if place is None or rewinds != self.manifest.rewinds:
                return 0
            # Where everything in the run was dead and nothing older is left to hide, nothing takes its place.
            kept = (rolled,) if rolled.rows or rolled.tombstones or rolled.live_rows else ()
            self._owner.publish(shards=(*shards[:place], *kept, *shards[place + len(run.entries) :]))
            self.open_shards()
            self._oldest_fresh_s = time.monotonic() if self._fresh_count() else None
        metrics.ROLLS.labels("roll" if run.fresh else "compaction").inc()
        return sum(entry.rows + entry.live_rows for entry in run.entries)

    def _late(self, changes: Sequence[Versioned], next_offset: int, newest_of: NewestOf) -> set[str]:
        """Products whose change is an event published again, of which the index holds something newer.

        Raises CorruptShard: without all shards it cannot be told.
        """
        again = [change for change in changes if change.log_offset < next_offset]
        if not again:
            return set()
        shards = [self._opened_one(entry) for entry in self.manifest.shards]
        found = [(change, newest_of(shards, change.product_id)) for change in again]
        return {change.product_id for change, held in found if held and held.log_offset > change.log_offset}

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
        opened = [self._opened_one(entry) for entry in shards[first:]]
        folder = merge_fresh(opened, self._index, first == 0, self._shelf.scratch)
        return [*shards[:first], self._put(folder)]

    def _put(self, folder: Path) -> ShardEntry:
        try:
            return self._shelf.put(folder, keep=True)
        except OSError as error:
            # Of a partition that another has claimed meanwhile, its scratch cleared: no reason to end the process.
            raise StoreUnavailable(f"store: shard {folder.name} is gone before it was stored ({error})") from error
        finally:
            # A store that refuses is tried again with a shard built anew: this one must not stay.
            shutil.rmtree(folder, ignore_errors=True)

    def _opened(self, entries: Iterable[ShardEntry]) -> list[Shard]:
        known = self._open
        return [known[entry.shard_id] for entry in entries if entry.shard_id in known]

    def _opened_one(self, entry: ShardEntry) -> Shard:
        return self._open.get(entry.shard_id) or self._shelf.open(entry)

    def _fresh_count(self) -> int:
        return sum(entry.kind == "fresh" for entry in self.manifest.shards)
