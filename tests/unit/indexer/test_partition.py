"""One partition at work: what fails is tried again, and an offset moves only over what is safe."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from services.indexer.publish import Publisher
from tests.faults.one_partition import OnePartition
from tests.unit.indexer.running import Log, deletes, next_offsets, running, shown, state, until
from vitrine.index.shelf import Shelf
from vitrine.runtime.errors import StoreUnavailable, StreamGap
from vitrine.stream import codec
from vitrine.stream.events import LiveUpdate
from vitrine.stream.log import Entry, Stream


async def test_a_store_that_refuses_holds_the_offset_until_it_takes_the_shard(
    log: Log, parts: list[OnePartition], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Shelf, built: Path, **_: object) -> None:
        raise StoreUnavailable("store: refused")

    failed = shown("failed_commits_total", 0) or 0.0
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        with monkeypatch.context() as store:
            store.setattr(Shelf, "put", refuse)
            log.append(deletes(0, 3))
            await until(lambda: state(pipeline, 0) == "waiting: store: refused")
            await until(lambda: (shown("failed_commits_total", 0) or 0.0) > failed)
            assert next_offsets(parts) == [0, 0]
            log.append(deletes(0, 5)[3:])

        await until(lambda: next_offsets(parts) == [5, 0])
        await until(lambda: state(pipeline, 0) == "running")
        assert sum(entry.tombstones for entry in parts[0].log.latest()[0].shards) == 5


async def test_an_offset_does_not_pass_a_dead_letter_that_is_not_stored(log: Log, parts: list[OnePartition]) -> None:
    [entry] = deletes(0, 1)
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        log.refuses_letters = True
        log.append([entry._replace(value=b"\xff no event"), entry])
        await until(lambda: state(pipeline, 0) == "waiting: stream: no letters now")
        await asyncio.sleep(0.2)
        assert next_offsets(parts) == [0, 0]

        log.refuses_letters = False
        await until(lambda: next_offsets(parts) == [2, 0])

        [letter] = log.dead_letters()
        assert letter.reason.startswith("value: ")
        assert (letter.record.key, letter.record.position.offset) == (entry.key, 0)


async def test_both_streams_of_a_partition_go_into_its_manifests(log: Log, parts: list[OnePartition]) -> None:
    [entry] = deletes(0, 1)
    price = Entry(entry.key, codec.encode(LiveUpdate(entry.key, {"price": 9.5})), Stream.LIVE)
    async with running(log, parts):
        log.append([entry, price, price])
        await until(lambda: parts[0].log.latest()[0].next_live_offset == 2 and next_offsets(parts) == [1, 0])

    assert parts[0].view().live_attributes(entry.key) == {"price": 9.5}


async def test_an_idle_partition_says_that_it_has_all_of_the_log(log: Log, parts: list[OnePartition]) -> None:
    async with running(log, parts):
        await until(lambda: parts[0].log.latest()[0].version > 0)
        first = parts[0].log.latest()[0]

        await until(lambda: parts[0].log.latest()[0].version > first.version + 2)

        later = parts[0].log.latest()[0]
        assert later.synced_us > first.synced_us
        assert later.index_time_us > first.index_time_us
        assert later.shards == ()


async def test_a_partition_that_another_owner_takes_stops_and_says_so(log: Log, parts: list[OnePartition]) -> None:
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        other = Publisher.claim(parts[0].index, parts[0].log, parts[0].shelf, log.log_id)

        log.append(deletes(0, 3))
        await until(lambda: "was written by another owner" in state(pipeline, 0))
        await asyncio.sleep(0.3)

        assert parts[0].log.latest()[0] == other.manifest
        assert shown("partition_running", 0) == 0
        assert state(pipeline, 1) == "running"


@pytest.mark.parametrize("why", ["halted", "paused"])
async def test_a_partition_that_is_not_read_leaves_the_others_the_processor(
    log: Log, parts: list[OnePartition], why: str
) -> None:
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        partition = pipeline.partition(0)
        if why == "halted":
            partition.halt(StreamGap("offset 7 is gone", 0))
        else:
            await partition.roll_back(partition.owned.manifest.version)
        began_s = time.process_time()

        await asyncio.sleep(1)

        assert time.process_time() - began_s < 0.5


async def test_a_partition_given_up_publishes_nothing_more(log: Log, parts: list[OnePartition]) -> None:
    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        given_up = pipeline.partitions[0]
        await given_up.stop()
        before = parts[0].log.latest()[0]

        log.append(deletes(0, 3))
        await asyncio.sleep(0.3)

        assert parts[0].log.latest()[0] == before
        assert given_up.state == "given up"
