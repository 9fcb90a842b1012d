"""The steps joined: a batch is read and embedded while the one before it is committed; rolls go on beside both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.indexer import metrics
from services.indexer.embed import Embedding, Outcome
from services.indexer.publish import Publisher
from services.indexer.settings import IndexerSettings
from services.indexer.source import Source
from vitrine.runtime.errors import CorruptManifest, CorruptShard, Fenced, StreamGap, Unavailable
from vitrine.runtime.logs import logger
from vitrine.shards.records import Tombstone
from vitrine.stream.log import EventLog, Position

_POLL_TIMEOUT_S: Final = 0.25
_RETRY_S: Final = 0.5
_ROLL_CHECK_S: Final = 0.5
_MAX_PENDING_EVENTS: Final = 4096
_RUNNING: Final = "running"


@dataclass
class Owned:
    """One partition: its publisher, and what is embedded but not committed yet. `halted`: why it stopped for good;
    `trouble`: why its last commit failed, to be tried again."""

    number: int
    publisher: Publisher
    pending: list[Outcome] = field(default_factory=list)
    caught_up_us: int = 0
    last_commit_s: float = 0.0
    halted: str = ""
    trouble: str = ""
    rolling: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class _Batch:
    outcomes: Sequence[Outcome]
    caught_up_us: int | None


class Pipeline:
    """Reads, embeds, commits and rolls the partitions of one indexer."""

    def __init__(
        self, log: EventLog, embedding: Embedding, publishers: dict[int, Publisher], settings: IndexerSettings
    ) -> None:
        self.owned = {number: Owned(number, publisher) for number, publisher in publishers.items()}
        self._log = log
        self._embedding = embedding
        self._settings = settings
        self._consumer = log.consumer(publishers)
        # One batch is embedded while the one before it waits for its commit: more would only hold memory.
        self._embedded: asyncio.Queue[_Batch] = asyncio.Queue(maxsize=1)

    def not_ready(self) -> str | None:
        """An indexer is ready while at least one of its partitions moves."""
        states = {number: self.state(number) for number in self.owned}
        if any(state == _RUNNING for state in states.values()):
            return None
        return "; ".join(f"partition {number}: {state}" for number, state in states.items())

    def state(self, number: int) -> str:
        """ "running", or why the partition waits or has stopped."""
        owned = self.owned[number]
        waiting = owned.trouble or self._embedding.waiting_for
        return owned.halted or (f"waiting: {waiting}" if waiting else _RUNNING)

    async def read_and_embed(self) -> None:
        """From the manifests' offsets on, until cancelled."""
        for owned in self.owned.values():
            try:
                self._consumer.seek(Position(owned.number, owned.publisher.manifest.next_offset))
            except StreamGap as error:
                self._halt(owned, error)
        source = Source(self._consumer, self._settings.batch_events)
        while True:
            halted = [owned.number for owned in self.owned.values() if owned.halted]
            try:
                read = await asyncio.to_thread(source.read, _POLL_TIMEOUT_S, halted)
            except Unavailable as error:
                logger().warning("log cannot be read", reason=str(error))
                await asyncio.sleep(_RETRY_S)
                continue
            outcomes = await self._embedding.outcomes(read.incoming)
            await self._embedded.put(_Batch(outcomes, read.caught_up_us))

    async def commit(self) -> None:
        """Commits what is embedded: at once after a quiet time, then at most every `commit_interval_s`."""
        while True:
            await self._take_next()
            due = [owned for owned in self.owned.values() if not owned.halted and self._due(owned)]
            await asyncio.gather(*(self._commit(owned) for owned in due))

    async def roll(self) -> None:
        """Rolls and compacts what is due, one partition after the other, until cancelled."""
        while True:
            for owned in self.owned.values():
                if not owned.halted:
                    await self.roll_partition(owned, now=False)
            await asyncio.sleep(_ROLL_CHECK_S)

    async def collect(self) -> None:
        """Removes what nothing needs any more, now and then, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.collect_interval_s)
            for owned in self.owned.values():
                if owned.halted:
                    continue
                try:
                    manifests, shards = await asyncio.to_thread(owned.publisher.collect)
                except (Unavailable, CorruptManifest) as error:
                    logger().warning("collection failed, to be tried again", partition=owned.number, reason=str(error))
                    continue
                metrics.COLLECTED.labels("manifest").inc(manifests)
                metrics.COLLECTED.labels("shard").inc(shards)

    async def roll_partition(self, owned: Owned, now: bool) -> int:
        """Rolls what is due (`now`: everything fresh). Returns the fresh rows that are rolled now."""
        rolled, roll_now = 0, now
        async with owned.rolling:
            while True:
                try:
                    run = await asyncio.to_thread(owned.publisher.run_due, self._settings, roll_now, now)
                    if run is None:
                        break
                    rolled += await asyncio.to_thread(owned.publisher.roll, run)
                except (Fenced, CorruptManifest) as error:
                    self._halt(owned, error)
                    break
                except (Unavailable, CorruptShard) as error:
                    logger().error("roll failed, to be tried again", partition=owned.number, reason=str(error))
                    await asyncio.sleep(_RETRY_S)
                    break
                # What comes in while a roll goes on is not waited for: it might never end.
                roll_now = False
        return rolled

    async def _take_next(self) -> None:
        """Takes the next embedded batch, unless commits fall behind: then what waits is not added to."""
        if sum(len(owned.pending) for owned in self.owned.values()) >= _MAX_PENDING_EVENTS:
            await asyncio.sleep(self._until_due_s())
            return
        try:
            batch = await asyncio.wait_for(self._embedded.get(), self._until_due_s())
        except TimeoutError:
            return
        for outcome in batch.outcomes:
            self.owned[outcome.record.position.partition].pending.append(outcome)
        if batch.caught_up_us is not None:
            for owned in self.owned.values():
                owned.caught_up_us = batch.caught_up_us

    def _due(self, owned: Owned) -> bool:
        since_s = time.monotonic() - owned.last_commit_s
        if owned.pending:
            return since_s >= self._settings.commit_interval_s
        return owned.caught_up_us > 0 and since_s >= self._settings.heartbeat_s

    def _until_due_s(self) -> float:
        """Until the first partition with something to commit is due."""
        pending = [owned for owned in self.owned.values() if owned.pending and not owned.halted]
        now_s = time.monotonic()
        waits = [owned.last_commit_s + self._settings.commit_interval_s - now_s for owned in pending]
        return max(0.001, min(waits, default=self._settings.heartbeat_s))

    async def _commit(self, owned: Owned) -> None:
        outcomes, owned.pending = owned.pending, []
        letters = [outcome.dead_letter for outcome in outcomes if outcome.dead_letter]
        changes = [outcome.change for outcome in outcomes if outcome.change]
        manifest = owned.publisher.manifest
        next_offset = outcomes[-1].record.position.offset + 1 if outcomes else manifest.next_offset
        index_time_us = max(owned.caught_up_us, outcomes[-1].record.append_time_us if outcomes else 0)
        try:
            with metrics.COMMIT_SECONDS.time():
                # The offset moves only after what it passes over is safe with the dead letters.
                if letters:
                    await asyncio.to_thread(self._log.put_dead_letters, letters)
                await asyncio.to_thread(owned.publisher.commit, changes, next_offset, index_time_us)
        except (Fenced, CorruptManifest) as error:
            self._halt(owned, error)
            return
        except (Unavailable, CorruptShard) as error:
            logger().error("commit failed, to be tried again", partition=owned.number, reason=str(error))
            owned.pending = [*outcomes, *owned.pending]
            owned.trouble = str(error)
            metrics.COMMITS_FAILED.labels(owned.number).inc()
            await asyncio.sleep(_RETRY_S)
            return
        owned.last_commit_s = time.monotonic()
        owned.trouble = ""
        _measure(owned, outcomes, len(letters))
        metrics.LAG.labels(owned.number).set(await asyncio.to_thread(self._log.end_offset, owned.number) - next_offset)

    def _halt(self, owned: Owned, error: Exception) -> None:
        owned.halted = str(error)
        metrics.RUNNING.labels(owned.number).set(0)
        logger().error("partition halted", partition=owned.number, reason=str(error))


def _measure(owned: Owned, outcomes: Iterable[Outcome], letters: int) -> None:
    now_us = time.time_ns() // 1_000
    metrics.RUNNING.labels(owned.number).set(1)
    metrics.NEXT_OFFSET.labels(owned.number).set(owned.publisher.manifest.next_offset)
    metrics.DEAD_LETTERS.labels(owned.number).inc(letters)
    for outcome in outcomes:
        if outcome.change is not None:
            kind = "delete" if isinstance(outcome.change, Tombstone) else "upsert"
            metrics.EVENTS.labels(owned.number, kind).inc()
            metrics.FRESHNESS_SECONDS.observe((now_us - outcome.record.append_time_us) / 1e6)
