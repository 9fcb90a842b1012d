"""The indexer's work without its server, on an embedded log with what Kafka can say and it cannot put in its mouth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client import REGISTRY

from services.indexer.embed import Embedding
from services.indexer.embedder import EmbedderClient
from services.indexer.fetch import UriFetcher
from services.indexer.partition import Claim
from services.indexer.pipeline import Pipeline
from services.indexer.publish import Publisher
from services.indexer.settings import IndexerSettings
from tests.faults.one_partition import OnePartition
from vitrine.index.pictures import Pictures
from vitrine.runtime.channels import internal_channel
from vitrine.runtime.errors import StreamGap, Unavailable
from vitrine.stream.embedded import EmbeddedConsumer, EmbeddedLog
from vitrine.stream.log import DeadLetter, Entry, Record, Source
from vitrine.stream.partitioning import partition_of

PARTITIONS: Final = 2


class Log(EmbeddedLog):
    """What tests set: how long it keeps deletes, what it raises when it is checked, read or given dead letters, and
    whether the next consumer stands still. `consumers`: how many there have been.
    """

    keeps_s: float | None = None
    checked: StreamGap | None = None
    polled: StreamGap | None = None
    refuses_letters = False
    still = False
    consumers = 0

    @property
    def keeps_deletes_s(self) -> float | None:  # type: ignore[override]
        return self.keeps_s

    def check(self) -> None:
        if self.checked is not None:
            raise self.checked

    def put_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        if self.refuses_letters:
            raise Unavailable("stream: no letters now")
        super().put_dead_letters(letters)

    def consumer(self, partitions: Iterable[int] | None = None) -> EmbeddedConsumer:
        self.consumers += 1
        return Reading(self, range(self.partitions))


class Reading(EmbeddedConsumer):
    def __init__(self, log: Log, partitions: Iterable[int]) -> None:
        super().__init__(log, partitions)
        self._says = log
        self._stands_still = log.still

    def poll(self, max_records: int, timeout_s: float, paused: Collection[Source] = ()) -> list[Record]:
        if (gap := self._says.polled) is not None:
            time.sleep(0.01)
            raise gap
        if self._stands_still:
            time.sleep(0.01)
            return []
        return super().poll(max_records, 0.02, paused)


@asynccontextmanager
async def running(log: Log, parts: list[OnePartition], **settings: Any) -> AsyncIterator[Pipeline]:
    """Reads, commits and surveys for as long as the block runs. No event here has a picture: no embedder is asked."""
    part = parts[0]
    chosen = IndexerSettings(
        port=1,
        http_port=2,
        store=str(part.folder / "store"),
        embedder="127.0.0.1:1",
        **{"commit_interval_s": 0.02, "heartbeat_s": 0.1, **settings},
    )

    def claims(number: int) -> Claim:
        one = parts[number]
        return lambda begin_at, wanted: Publisher.claim(one.index, one.log, one.shelf, log.log_id, begin_at, wanted)

    channel, threads = internal_channel(chosen.embedder), ThreadPoolExecutor(1)
    embedding = Embedding(Pictures(part.store, "default"), UriFetcher(()), EmbedderClient(channel, 1, 1), threads)
    pipeline = Pipeline(log, part.index, claims, embedding, chosen)
    tasks = [asyncio.create_task(work()) for work in (pipeline.read, pipeline.survey)]
    try:
        yield pipeline
        assert [task for task in tasks if task.done()] == [], "a server would have ended"
    finally:
        for partition in list(pipeline.partitions.values()):
            await partition.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await channel.close()
        threads.shutdown()
        log.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (the pipeline tells nobody)
            await asyncio.sleep(0.02)


def state(pipeline: Pipeline, number: int) -> str:
    return pipeline.partitions[number].state if number in pipeline.partitions else "not assigned yet"


def shown(name: str, number: int) -> float | None:
    return REGISTRY.get_sample_value(f"vitrine_indexer_{name}", {"partition": str(number)})


def deletes(number: int, count: int) -> list[Entry]:
    """Events of one partition."""
    names = (f"p{name}" for name in range(10_000))
    return [Entry(name, None) for name in names if partition_of(name, PARTITIONS) == number][:count]


def next_offsets(parts: list[OnePartition]) -> list[int]:
    return [part.log.latest()[0].next_offset for part in parts]
