"""The log, read for all partitions of one indexer: what is assigned is claimed, what is read is handed on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any, Final, TypeVar

from services.indexer import metrics
from services.indexer.embed import Embedding
from services.indexer.partition import RUNNING, Claim, Partition
from services.indexer.settings import IndexerSettings
from services.indexer.source import Incoming, Reader
from vitrine.index.settings import IndexSettings
from vitrine.runtime.errors import InvalidArgument, StreamGap, Unavailable
from vitrine.runtime.logs import logger
from vitrine.stream.log import Consumer, EventLog, Position, Source, Stream

Result = TypeVar("Result")

_POLL_TIMEOUT_S: Final = 0.25
_RETRY_S: Final = 0.5
_SURVEY_S: Final = 1.0
# Who has no partition after this time stands by: others have them all.
_JOIN_S: Final = 30.0
# How often it is asked whether the topics are still the same: it takes a request or two.
_CHECK_S: Final = 10.0
# Longer than any sequence of calls that time out: polls, seeks and the giving up of partitions.
_HANGS_S: Final = 300.0


class Pipeline:
    """Reads for the partitions that the log assigns to this indexer."""

    def __init__(
        self,
        log: EventLog,
        index: IndexSettings,
        claims: Callable[[int], Claim],
        embedding: Embedding,
        settings: IndexerSettings,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self._log = log
        metrics.DELETE_RETENTION.set(inf if log.keeps_deletes_s is None else log.keeps_deletes_s)
        self._index = index
        self._claims = claims
        self._embedding = embedding
        self._settings = settings
        # A consumer is not thread safe: all of its calls are made by this one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._moved: dict[Source, tuple[int, float]] = {}
        self._stalled = False
        self._told: set[Position] = set()
        self._turned_s = time.monotonic()
        self._began_s = time.monotonic()

    def not_ready(self) -> str | None:
        """An indexer is ready while at least one of its partitions moves, or while it stands by."""
        if not self.partitions and time.monotonic() - self._began_s < _JOIN_S:
            return "no partition is assigned yet"
        states = {number: partition.state for number, partition in self.partitions.items()}
        if not states or any(state == RUNNING for state in states.values()):
            return None
        return "; ".join(f"partition {number}: {state}" for number, state in states.items())

    def partition(self, number: int) -> Partition:
        """Raises InvalidArgument if it is not this indexer's."""
        if number not in self.partitions:
            raise InvalidArgument("partition", f"partition {number} is not owned here")
        return self.partitions[number]

    async def read(self) -> None:
        """Reads and hands on until cancelled."""
        consumer: Consumer | None = None
        try:
            while True:
                try:
                    self._turned_s = time.monotonic()
                    if consumer is None:
                        consumer = await self._called(self._log.consumer)
                    if not self._stalled:
                        await self._turn(consumer)
                        continue
                    await self._given_up(list(self.partitions))
                    stalled, consumer, self._stalled = consumer, None, False
                    await self._called(stalled.close)
                except Unavailable as error:
                    logger().warning("log cannot be read", reason=str(error))
                    await asyncio.sleep(_RETRY_S)
        finally:
            # Commits under way end before the group gives the partitions to others.
            await self._given_up(list(self.partitions))
            if consumer is not None:
                await self._called(consumer.close)
            self._thread.shutdown(wait=False)

    async def survey(self) -> None:
        """Where the log ends, whether it is still the same, and whether what is read moves; until cancelled."""
        checked_s = time.monotonic()
        while True:
            await asyncio.sleep(_SURVEY_S)
            if time.monotonic() - self._turned_s > _HANGS_S:
                # No new consumer helps where a call of the old one never ends: a new process does.
                raise Unavailable(f"the log's client has not answered for {_HANGS_S:.0f} s")
            try:
                if time.monotonic() - checked_s > _CHECK_S:
                    checked_s = time.monotonic()
                    await asyncio.to_thread(self._log.check)
                await self._survey()
            except StreamGap as error:
                for partition in self.partitions.values():
                    if not partition.halted:
                        partition.halt(error)
            except Unavailable as error:
                logger().warning("log cannot be surveyed", reason=str(error))

    async def _turn(self, consumer: Consumer) -> None:
        await self._follow(await self._called(consumer.assigned))
        for partition in self.partitions.values():
            if (error := partition.failed()) is not None:
                raise error
            if partition.to_seek and not partition.halted:
                await self._sought(consumer, partition)
        read = [
            Source(number, stream) for number, entry in self.partitions.items() if entry.is_read for stream in Stream
        ]
        paused = {source for partition in self.partitions.values() for source in partition.paused_sources()}
        reader = Reader(consumer, self._index, self._settings.batch_events)
        try:
            found = await self._called(reader.read, _POLL_TIMEOUT_S, read, paused)
        except StreamGap as error:
            await self._halt(error)
            return
        by_source: dict[Source, list[Incoming]] = {}
        for entry in found.incoming:
            by_source.setdefault(entry.record.source, []).append(entry)
        for source, reached in found.reached.items():
            partition = self.partitions[source.partition]
            if partition.is_read:
                partition.take(by_source.get(source, []), source.stream, reached)
        if isinstance(found.failure, StreamGap):
            await self._halt(found.failure)
        elif found.failure is not None:
            raise found.failure
        published = {place for entry in self.partitions.values() if entry.is_read for place in entry.offsets()}
        if new := published - self._told:
            await self._called(consumer.published, new)
        self._told = published

    async def _halt(self, error: StreamGap) -> None:
        for partition in self.partitions.values():
            if error.partition not in (None, partition.number):
                continue
            if error.lasting:
                await partition.pause(error)
            else:
                partition.halt(error)

    async def _follow(self, assigned: Mapping[int, int]) -> None:
        """Gives up what is not assigned any more, or anew, and claims what is."""
        await self._given_up([n for n, entry in self.partitions.items() if assigned.get(n) != entry.assignment])
        for number, assignment in assigned.items():
            if number not in self.partitions:
                claim = self._claims(number)
                partition = Partition(number, assignment, claim, self._log, self._embedding, self._settings)
                partition.start()
                self.partitions[number] = partition

    async def _given_up(self, numbers: list[int]) -> None:
        self._moved = {source: since for source, since in self._moved.items() if source.partition not in numbers}
        await asyncio.gather(*(self.partitions.pop(number).stop() for number in numbers))

    async def _sought(self, consumer: Consumer, partition: Partition) -> None:
        reading = partition.reading
        try:
            for place in partition.offsets():
                await self._called(consumer.seek, place)
            asked_us = time.time_ns() // 1_000
            sources = [Source(partition.number, stream) for stream in Stream]
            ends = await asyncio.to_thread(self._log.end_offsets, sources)
        except StreamGap as error:
            partition.halt(error)
            return
        # Rolled back or resumed meanwhile, it is sought again, by its new manifest.
        if partition.sought(reading):
            # Before anything is read: the little that is left of a log whose deletes are gone is soon read to its end.
            partition.surveyed(ends, asked_us)

    async def _survey(self) -> None:
        read = {number: entry for number, entry in self.partitions.items() if entry.is_read}
        sources = [Source(number, stream) for number in read for stream in Stream]
        asked_us = time.time_ns() // 1_000
        ends = await asyncio.to_thread(self._log.end_offsets, sources) if sources else {}
        for number, partition in read.items():
            if self.partitions.get(number) is partition and partition.is_read:
                partition.surveyed(ends, asked_us)
                self._watch(partition, ends)

    def _watch(self, partition: Partition, ends: Mapping[Source, int]) -> None:
        """A consumer that stands still though there is more is made anew, and it is said."""
        stands_still = False
        for source, polled in partition.polled().items():
            before, since_s = self._moved.get(source, (-1, 0.0))
            idle = polled >= ends[source] or source in partition.paused_sources()
            if idle or polled != before:
                self._moved[source] = (polled, time.monotonic())
            elif time.monotonic() - since_s > self._settings.stall_s:
                stands_still = True
                del self._moved[source]
        if stands_still:
            metrics.STALLS.labels(partition.number).inc()
            logger().error("consumer stands still though the log grows; made anew", partition=partition.number)
            self._stalled = True

    async def _called(self, call: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
