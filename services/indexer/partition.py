"""One partition, from its claim until it is given up: what is read of it is embedded, then committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from services.indexer import metrics
from services.indexer.batches import Batches, Embedded
from services.indexer.embed import Embedding, without_pictures
from services.indexer.pending import Pending, Taken, offsets_of
from services.indexer.publish import Publisher
from services.indexer.settings import IndexerSettings
from services.indexer.source import Incoming
from vitrine.index.ownership import Offsets
from vitrine.runtime.errors import (
    ConfigError,
    CorruptManifest,
    CorruptShard,
    FailedPrecondition,
    Fenced,
    InvalidArgument,
    StreamGap,
    Unavailable,
)
from vitrine.runtime.logs import logger
from vitrine.runtime.metrics import begin_at_zero
from vitrine.shards.records import Change, LiveVersion, Tombstone
from vitrine.stream.log import DeadLetter, EventLog, Position, Source, Stream

Claim = Callable[[Offsets | None, Callable[[], bool]], Publisher]
"""Takes the partition, if need be at other offsets than its manifest's, if it is still wanted by then. Blocks."""

RUNNING: Final = "running"
CLAIMING: Final = "waiting: is being claimed"

_RETRY_S: Final = 0.5
# How long a commit waits to be told where the log ends.
_LOOK_S: Final = 0.25
_IDLE_S: Final = 0.1
# Of events, in metrics.
_KINDS: Final = ("upsert", "delete", "live")


class Partition:
    """`assignment`: which of the log's assignments of this partition it serves."""

    def __init__(
        self,
        number: int,
        assignment: int,
        claim: Claim,
        log: EventLog,
        embedding: Embedding,
        settings: IndexerSettings,
    ) -> None:
        self.number = number
        self.assignment = assignment
        self.publisher: Publisher | None = None
        self.halted = ""
        # The reader seeks to the manifest's offsets and clears this; nothing is read before.
        self.to_seek = False
        self.rolling = asyncio.Lock()
        self._claim = claim
        self._log = log
        self._settings = settings
        self._trouble = CLAIMING
        self._pending = Pending()
        # Grows when what is under way must not count any more: after a rollback, offsets are read anew.
        self._reading = 0
        self._batches = Batches(embedding, lambda products: self.owned.known(products), self._wait)
        self._last_commit_s = 0.0
        self._something = asyncio.Event()
        self._committed = asyncio.Event()
        self._commit_lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._looking: asyncio.Task[None] | None = None
        self._letters_put: set[Position] = set()
        self._held_up = ""
        self._stopped = False

    # ---- life

    def start(self) -> None:
        begin_at_zero(metrics.DEAD_LETTERS, self.number)
        for kind in _KINDS:
            begin_at_zero(metrics.EVENTS, self.number, kind)
        handing_on = self._batches.hand_on(self._take_embedded)
        self._tasks = [asyncio.create_task(work) for work in (self._run(), handing_on)]

    async def stop(self) -> None:
        """Gives the partition up: waits for a commit that is under way, drops the rest, which another will read."""
        self._stopped = True
        async with self._commit_lock:
            self.halted = self.halted or "given up"
        for task in self._tasks:
            task.cancel()
        self._batches.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        gauges = (metrics.RUNNING, metrics.WAITING, metrics.PAUSED, metrics.SYNCED, metrics.UNREADABLE)
        for gauge in gauges:
            with suppress(KeyError):
                gauge.remove(self.number)
        for gauge in (metrics.LAG, metrics.NEXT_OFFSET):
            for stream in Stream:
                with suppress(KeyError):
                    gauge.remove(self.number, stream)

    def failed(self) -> BaseException | None:
        """What ended its work, if anything did that should not have."""
        done = [task for task in self._tasks if task.done() and not task.cancelled()]
        return next((error for task in done if (error := task.exception())), None)

    @property
    def owned(self) -> Publisher:
        assert self.publisher is not None, "asked only of partitions that are claimed"
        return self.publisher

    @property
    def state(self) -> str:
        """ "running", or why the partition waits, is paused or has stopped."""
        if self.halted:
            return self.halted
        if self.publisher is not None and self.publisher.manifest.paused:
            return f"paused: {self.publisher.manifest.paused}"
        waiting = self._trouble or self._held_up
        return f"waiting: {waiting}" if waiting else RUNNING

    @property
    def is_read(self) -> bool:
        """Whether its events are wanted now."""
        return self.publisher is not None and not (self.halted or self.to_seek or self.publisher.manifest.paused)

    def halt(self, error: Exception) -> None:
        """For good, or until an operator says how to go on."""
        if self.halted:
            return
        self.halted = str(error)
        metrics.RUNNING.labels(self.number).set(0)
        logger().error("partition halted", partition=self.number, reason=str(error))

    # ---- what the reader does with it

    def offsets(self) -> list[Position]:
        """Where to read on, by the manifest."""
        offsets = offsets_of(self.owned.manifest)
        return [Position(self.number, offset, stream) for stream, offset in offsets.items()]

    @property
    def reading(self) -> int:
        """Another number whenever it must be sought anew."""
        return self._reading

    def sought(self, reading: int) -> bool:
        """The log reads on from the manifest's offsets: what comes now is pending. False if they have changed since."""
        if reading != self._reading:
            return False
        self._pending.begin(self.owned.manifest)
        self.to_seek = False
        return True

    def paused_sources(self) -> set[Source]:
        """What to read nothing of now: there is no room for it, or it is not read at all."""
        if not self.is_read:
            return {Source(self.number, stream) for stream in Stream}
        full = {stream for stream in Stream if not self._pending.has_room(stream)}
        if self._batches.full:
            full.add(Stream.CATALOGUE)
        return {Source(self.number, stream) for stream in full}

    def take(self, incoming: Sequence[Incoming], stream: Stream, reached: int) -> None:
        """What one poll gave of one stream; everything before offset `reached` has been polled."""
        progress = self._pending.progress[stream]
        reached = max(reached, progress.polled)  # of a source that was lost meanwhile nothing is known
        if stream is Stream.LIVE:
            self._pending.add(stream, [without_pictures(entry) for entry in incoming], reached)
            if incoming:
                self._something.set()
        elif incoming:
            self._batches.put(incoming, reached, self._reading)
        elif progress.polled == progress.reached:
            # Nothing is under way: what was passed over held no events.
            self._pending.add(stream, [], reached)
        progress.polled = reached

    def surveyed(self, ends: Mapping[Source, int], asked_us: int) -> None:
        """`ends`: where the log's streams ended at `asked_us`. Halts if deletes may have gone unread."""
        by_stream = {stream: ends[Source(self.number, stream)] for stream in Stream}
        for stream, published in offsets_of(self.owned.manifest).items():
            metrics.LAG.labels(self.number, stream).set(max(0, by_stream[stream] - published))
        complete = self._pending.surveyed(by_stream, asked_us)
        metrics.SYNCED.labels(self.number).set(self._pending.synced_us / 1e6)
        behind_us, keeps_s = asked_us - self._pending.synced_us, self._log.keeps_deletes_s
        if not complete and keeps_s is not None and behind_us > keeps_s * 1_000_000:
            self.halt(StreamGap(_too_late(behind_us, keeps_s), self.number))

    def polled(self) -> dict[Source, int]:
        """How far each stream has been polled, for the watchdog."""
        return {Source(self.number, stream): progress.polled for stream, progress in self._pending.progress.items()}

    # ---- what operators do with it

    async def roll_back(self, version: int) -> None:
        """Raises NotFound, CorruptManifest, CorruptShard, Fenced, StoreUnavailable."""
        async with self._commit_lock:
            await asyncio.to_thread(self.owned.roll_back, version)
            self._forget()
        metrics.PAUSED.labels(self.number).set(1)
        logger().warning("rolled back", partition=self.number, version=version)

    async def pause(self, error: StreamGap) -> None:
        """Halts, and has the manifest say so: what the log has forgotten it may not tell of again after a restart."""
        self.halt(error)
        with suppress(Unavailable, Fenced, CorruptManifest):
            await asyncio.to_thread(self.owned.pause, str(error))

    async def resume(self, skip_to: int | None, skip_live_to: int | None) -> None:
        """Ends a pause or a halt. Raises InvalidArgument, ConfigError, Fenced, StoreUnavailable, StreamGap."""
        async with self._commit_lock:
            if self._stopped or not (self.halted or (self.publisher and self.publisher.manifest.paused)):
                raise FailedPrecondition(f"partition {self.number} is neither paused nor halted")
            await asyncio.to_thread(self._check_log, skip_to, skip_live_to)
            if self.publisher is None or self.halted:
                both = skip_to is not None and skip_live_to is not None
                if self.publisher is None and not both:
                    raise InvalidArgument("skip_to", "and skip_live_to: where to go on in this log must be said")
                # Only of another log than its own: in its own, resume() sees that nothing is read twice by mistake.
                begin_at = Offsets(skip_to or 0, skip_live_to or 0) if self.publisher is None else None
                self.publisher = await asyncio.to_thread(self._claim, begin_at, self._is_wanted)
            await asyncio.to_thread(self.owned.resume, skip_to, skip_live_to)
            self._forget()
            self.halted = ""
            self._trouble = ""
        self._show_running()
        logger().warning("resumed", partition=self.number, skip_to=skip_to, skip_live_to=skip_live_to)

    def _check_log(self, skip_to: int | None, skip_live_to: int | None) -> None:
        """Blocks. Raises FailedPrecondition, InvalidArgument, Unavailable."""
        try:
            self._log.check()
        except StreamGap as error:
            raise FailedPrecondition(f"{error}; restart the indexer, then say where to go on in the new one") from error
        catalogue, live = (Source(self.number, stream) for stream in (Stream.CATALOGUE, Stream.LIVE))
        ends = self._log.end_offsets([catalogue, live])
        for field, offset, source in (("skip_to", skip_to, catalogue), ("skip_live_to", skip_live_to, live)):
            if offset is not None and offset > ends[source]:
                raise InvalidArgument(field, f"{offset} lies beyond the end of the log, {ends[source]}")

    # ---- its work

    async def _run(self) -> None:
        await self._claimed()
        while True:
            await self._until_due()
            async with self._commit_lock:
                if self.is_read:
                    await self._commit()
                    continue
            # Halted, paused or not sought yet: a commit is always due then, so the wait for one is none.
            await asyncio.sleep(_IDLE_S)

    def _is_wanted(self) -> bool:
        return not self._stopped

    async def _claimed(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._log.check)
                self.publisher = await asyncio.to_thread(self._claim, None, self._is_wanted)
                break
            except (StreamGap, CorruptManifest, Fenced) as error:
                self.halt(error)
                return
            except (Unavailable, CorruptShard, ConfigError) as error:
                logger().error("claim failed, to be tried again", partition=self.number, reason=str(error))
                self._trouble = str(error)
                await asyncio.sleep(_RETRY_S)
        self._trouble = ""
        self.to_seek = True
        self._show_running()

    async def _take_embedded(self, batch: Embedded) -> None:
        while not self._pending.has_room(Stream.CATALOGUE):
            self._committed.clear()
            await self._committed.wait()
        if batch.reading == self._reading:
            # Behind the last of them lies what held no events: it has been passed over too.
            polled = self._pending.progress[Stream.CATALOGUE].polled if batch.last else 0
            self._pending.add(Stream.CATALOGUE, batch.outcomes, max(batch.reached, polled))
            self._something.set()

    async def _until_due(self) -> None:
        """At once after a quiet time, then at most every `commit_interval_s`; with nothing to commit, a heartbeat."""
        beat_s = self._last_commit_s + self._settings.heartbeat_s - time.monotonic()
        # Not wait_for: in Python 3.11 it may swallow a cancellation, and this would never end.
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, beat_s)):
                await self._something.wait()
        wait_s = self._last_commit_s + self._settings.commit_interval_s - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._something.clear()

    async def _look_at_ends(self) -> None:
        """A stream that has nothing more is in the index up to now, not only up to its last event.

        A log that does not answer at once is not waited for: commits go on.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._surveyed_now())
        await asyncio.wait([self._looking], timeout=_LOOK_S)

    async def _surveyed_now(self) -> None:
        sources = [Source(self.number, stream) for stream in Stream]
        asked_us, reading = time.time_ns() // 1_000, self._reading
        with suppress(Unavailable):  # said by the pipeline's survey
            ends = await asyncio.to_thread(self._log.end_offsets, sources)
            if reading == self._reading and self.is_read:
                self.surveyed(ends, asked_us)

    async def _commit(self) -> None:
        await self._look_at_ends()
        if self.halted:
            return
        taken = self._pending.take(self.owned.manifest)
        try:
            with metrics.COMMIT_SECONDS.time():
                # The offset moves only after what it passes over is safe with the dead letters.
                await self._put_letters(taken.dead_letters)
                superseded = await asyncio.to_thread(self.owned.commit, taken.commit)
        except (Fenced, CorruptManifest) as error:
            self.halt(error)
            return
        except (Unavailable, CorruptShard) as error:
            logger().error("commit failed, to be tried again", partition=self.number, reason=str(error))
            self._pending.put_back(taken)
            self._trouble = str(error)
            metrics.COMMITS_FAILED.labels(self.number).inc()
            self._something.set()
            await asyncio.sleep(_RETRY_S)
            return
        self._last_commit_s = time.monotonic()
        self._trouble = ""
        self._letters_put.clear()
        self._committed.set()
        self._measure(taken, superseded)

    async def _put_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Each once, however often the commit that waits for them is tried."""
        new = [letter for letter in letters if letter.record.position not in self._letters_put]
        if new:
            await asyncio.to_thread(self._log.put_dead_letters, new)
            self._letters_put.update(letter.record.position for letter in new)

    def _forget(self) -> None:
        """What was read and is not published is read again, from where the manifest says now."""
        self._reading += 1
        self.to_seek = True

    def _wait(self, reason: str) -> None:
        if reason and not self._held_up:
            logger().warning("offset held", partition=self.number, reason=reason)
        self._held_up = reason
        metrics.WAITING.labels(self.number).set(bool(reason))

    def _show_running(self) -> None:
        metrics.RUNNING.labels(self.number).set(not self.halted)
        metrics.PAUSED.labels(self.number).set(bool(self.owned.manifest.paused))

    def _measure(self, taken: Taken, superseded: int) -> None:
        now_us = time.time_ns() // 1_000
        self._show_running()
        for place in self.offsets():
            metrics.NEXT_OFFSET.labels(self.number, place.stream).set(place.offset)
        metrics.DEAD_LETTERS.labels(self.number).inc(len(taken.dead_letters))
        metrics.SUPERSEDED.labels(self.number).inc(superseded)
        for outcome in taken.all:
            if outcome.change is not None:
                metrics.EVENTS.labels(self.number, _kind(outcome.change)).inc()
                metrics.FRESHNESS_SECONDS.observe((now_us - outcome.record.append_time_us) / 1e6)


def _too_late(behind_us: int, keeps_s: float) -> str:
    return (
        f"the index last had all of the log {behind_us / 86_400e6:.1f} days ago, and the log keeps deletes for "
        f"{keeps_s / 86_400:.1f}: some may be gone unread. Replay the catalogue into a new index"
    )


def _kind(change: Change | LiveVersion) -> str:
    """One of `_KINDS`."""
    if isinstance(change, LiveVersion):
        return "live"
    return "delete" if isinstance(change, Tombstone) else "upsert"
