"""Step 5, when: rolls, compactions and collections of all partitions, beside the commits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from services.indexer import metrics
from services.indexer.compact import RollRules, Run
from services.indexer.partition import Partition
from services.indexer.settings import IndexerSettings
from vitrine.runtime.errors import CorruptManifest, CorruptShard, Fenced, Unavailable
from vitrine.runtime.logs import logger

_CHECK_S: Final = 0.5
# After a roll that failed the partition rests, longer each time: a damaged shard would be read again and again.
_FIRST_REST_S: Final = 0.5
_MAX_REST_S: Final = 60.0

_ROLLS_AT_ONCE: Final = 2

Given = TypeVar("Given")
Result = TypeVar("Result")


class Upkeep:
    """One roll of a partition at a time; several partitions may roll at once if they are asked to."""

    def __init__(self, partitions: Callable[[], Collection[Partition]], settings: IndexerSettings) -> None:
        self._partitions = partitions
        self._settings = settings
        self._rules = RollRules(
            settings.roll_rows,
            settings.roll_idle_rows,
            settings.roll_idle_s,
            settings.roll_age_s,
            settings.survey_interval_s,
        )
        # Of their own: a roll takes minutes, and what commits must never wait for a thread.
        self._threads = ThreadPoolExecutor(_ROLLS_AT_ONCE, thread_name_prefix="roll")
        self._rest_s: dict[int, float] = {}
        self._rests_until_s: dict[int, float] = {}

    async def roll_when_due(self) -> None:
        """Rolls and compacts what is due, one partition after the other, until cancelled."""
        while True:
            for partition in self._active():
                if time.monotonic() >= self._rests_until_s.get(partition.number, 0.0):
                    await self.roll(partition, now=False)
            await asyncio.sleep(_CHECK_S)

    async def collect_now_and_then(self) -> None:
        """Removes what nothing needs any more, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.collect_interval_s)
            for partition in self._active():
                try:
                    await self.collect(partition)
                except (Unavailable, CorruptManifest) as error:
                    reason = str(error)
                    logger().warning("collection failed, to be tried again", partition=partition.number, reason=reason)

    async def roll(self, partition: Partition, now: bool) -> int:
        """Rolls what is due (`now`: everything fresh). Returns the rows that were rewritten."""

        def next_run(first: bool) -> Run | None:
            # What comes in while a roll goes on is not waited for: it might never end.
            return partition.owned.run_due(self._rules, roll_now=now and first, survey_now=now)

        return await self._rolled(partition, next_run)

    async def compact(self, partition: Partition) -> int:
        """Merges all shards into one. Returns the rows that were rewritten."""
        return await self._rolled(partition, lambda first: partition.owned.everything() if first else None)

    async def collect(self, partition: Partition) -> tuple[int, int]:
        """Returns how many manifests and shards were removed. Raises StoreUnavailable, CorruptManifest."""
        manifests, shards = await asyncio.to_thread(partition.owned.collect)
        metrics.COLLECTED.labels("manifest").inc(manifests)
        metrics.COLLECTED.labels("shard").inc(shards)
        return manifests, shards

    async def _rolled(self, partition: Partition, next_run: Callable[[bool], Run | None]) -> int:
        rolled, first = 0, True
        async with partition.rolling:
            while True:
                publisher = partition.owned
                try:
                    run = await self._in_thread(next_run, first)
                    if run is None:
                        self._rest_s.pop(partition.number, None)
                        break
                    rolled += await self._in_thread(publisher.roll, run)
                except (Fenced, CorruptManifest) as error:
                    # One that was resumed meanwhile has been claimed anew: only its old self has lost it.
                    if partition.publisher is publisher:
                        partition.halt(error)
                    break
                except (Unavailable, CorruptShard) as error:
                    logger().error("roll failed, to be tried again", partition=partition.number, reason=str(error))
                    metrics.FAILED_ROLLS.labels(partition.number).inc()
                    self._rest(partition.number)
                    break
                first = False
        return rolled

    async def _in_thread(self, call: Callable[[Given], Result], argument: Given) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, argument)

    def _rest(self, number: int) -> None:
        rest_s = self._rest_s.get(number, _FIRST_REST_S)
        self._rests_until_s[number] = time.monotonic() + rest_s
        self._rest_s[number] = min(_MAX_REST_S, 2 * rest_s)

    def _active(self) -> list[Partition]:
        """A paused partition keeps its shards as they are: somebody is looking into them."""
        return [partition for partition in self._partitions() if partition.is_read]
