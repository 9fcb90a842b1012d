"""A gap in the log stops the partition it concerns, is said, and can be alerted on; nothing is skipped silently."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.indexer.publish import Commit, Publisher
from tests.faults.one_partition import OnePartition
from tests.unit.indexer.running import PARTITIONS, Log, deletes, next_offsets, running, shown, state, until
from vitrine.runtime.errors import InvalidArgument, StreamGap

DAY_US = 86_400_000_000


async def test_an_offset_beyond_the_end_of_the_log_halts_its_partition_and_the_other_goes_on(
    log: Log, parts: list[OnePartition]
) -> None:
    Publisher.claim(parts[0].index, parts[0].log, parts[0].shelf, log.log_id).commit(Commit(next_offset=10))
    log.append([*deletes(0, 3), *deletes(1, 3)])

    async with running(log, parts) as pipeline:
        await until(lambda: next_offsets(parts) == [10, 3])

        assert "partition 0: the index has offsets up to 10, the log ends at 3" in state(pipeline, 0)
        assert state(pipeline, 1) == "running"
        assert (shown("partition_running", 0), shown("partition_running", 1)) == (0, 1)
        # Others must not be taken away for it: it is an alert, not a reason to stop the process.
        assert pipeline.not_ready() is None


async def test_a_halted_partition_goes_on_where_an_operator_says(log: Log, parts: list[OnePartition]) -> None:
    Publisher.claim(parts[0].index, parts[0].log, parts[0].shelf, "an older log").commit(Commit(next_offset=10))
    log.append(deletes(0, 5))

    async with running(log, parts) as pipeline:
        await until(lambda: "was indexed from log an older log" in state(pipeline, 0))
        with pytest.raises(InvalidArgument, match="skip_to"):
            await pipeline.partition(0).resume(None, None)
        await pipeline.partition(0).resume(2, 0)
        await until(lambda: next_offsets(parts) == [5, 0])

        assert state(pipeline, 0) == "running"
        assert [entry.tombstones for entry in parts[0].log.latest()[0].shards] == [3]


@pytest.mark.parametrize(
    "said", ["topic vitrine.catalogue was made anew: its id is b, it was a", "topic vitrine.catalogue has 3 partitions"]
)
async def test_a_topic_that_is_not_the_same_any_more_halts_every_partition(
    log: Log, parts: list[OnePartition], said: str
) -> None:
    async with running(log, parts) as pipeline:
        log.append([*deletes(0, 2), *deletes(1, 2)])
        await until(lambda: next_offsets(parts) == [2, 2])

        log.checked = StreamGap(said)
        await until(lambda: [state(pipeline, number) for number in range(PARTITIONS)] == [said, said])
        log.append([*deletes(0, 2), *deletes(1, 2)])
        await asyncio.sleep(0.3)

        assert next_offsets(parts) == [2, 2]
        assert (shown("partition_running", 0), shown("partition_running", 1)) == (0, 0)
        assert pipeline.not_ready() == f"partition 0: {said}; partition 1: {said}"


async def test_a_gap_that_is_met_while_reading_halts_the_partition_it_lies_in(
    log: Log, parts: list[OnePartition]
) -> None:
    async with running(log, parts) as pipeline:
        await until(lambda: [state(pipeline, number) for number in range(PARTITIONS)] == ["running", "running"])

        log.polled = StreamGap("offset 7 is gone", 1)
        await until(lambda: state(pipeline, 1) == "offset 7 is gone")

        log.polled = None
        log.append([*deletes(0, 2), *deletes(1, 2)])
        await until(lambda: next_offsets(parts) == [2, 0])
        assert state(pipeline, 0) == "running"


async def test_an_index_that_is_behind_by_more_than_the_log_keeps_deletes_reads_nothing_more(
    log: Log, parts: list[OnePartition]
) -> None:
    week_ago_us = time.time_ns() // 1_000 - 7 * DAY_US
    for part in parts:
        Publisher.claim(part.index, part.log, part.shelf, log.log_id).commit(Commit(synced_us=week_ago_us))
    log.keeps_s = 6 * 86_400
    log.append(deletes(0, 2))

    async with running(log, parts) as pipeline:
        await until(lambda: "some may be gone unread" in state(pipeline, 0))
        await asyncio.sleep(0.3)

        assert next_offsets(parts) == [0, 0]
        assert shown("partition_running", 0) == 0
        # Of the other there is nothing unread, so nothing can be gone.
        assert state(pipeline, 1) == "running"


async def test_an_index_that_is_behind_by_less_catches_up(log: Log, parts: list[OnePartition]) -> None:
    days_ago_us = time.time_ns() // 1_000 - 5 * DAY_US
    for part in parts:
        Publisher.claim(part.index, part.log, part.shelf, log.log_id).commit(Commit(synced_us=days_ago_us))
    log.keeps_s = 6 * 86_400
    log.append(deletes(0, 2))

    async with running(log, parts) as pipeline:
        await until(lambda: next_offsets(parts) == [2, 0])

        assert state(pipeline, 0) == "running"
        assert shown("synced_seconds", 0) == pytest.approx(time.time(), abs=30)


async def test_a_partition_that_falls_behind_while_it_is_read_halts(log: Log, parts: list[OnePartition]) -> None:
    log.keeps_s, log.still = 0.5, True

    async with running(log, parts) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        log.append(deletes(0, 2))
        await until(lambda: "some may be gone unread" in state(pipeline, 0))

        assert state(pipeline, 1) == "running"


async def test_a_consumer_that_stands_still_while_the_log_grows_is_made_anew_and_counted(
    log: Log, parts: list[OnePartition]
) -> None:
    before = shown("consumer_stalls_total", 0) or 0.0
    log.still = True

    async with running(log, parts, stall_s=0.3) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        log.still = False  # of the next one
        log.append(deletes(0, 2))
        await until(lambda: next_offsets(parts) == [2, 0])

        assert log.consumers == 2
        assert shown("consumer_stalls_total", 0) == before + 1
        await until(lambda: state(pipeline, 0) == "running")


async def test_a_consumer_with_nothing_to_read_is_left_alone(log: Log, parts: list[OnePartition]) -> None:
    log.still = True

    async with running(log, parts, stall_s=0.2) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        await asyncio.sleep(0.8)

        assert log.consumers == 1


async def test_a_paused_partition_is_no_stalled_one(log: Log, parts: list[OnePartition]) -> None:
    async with running(log, parts, stall_s=0.2) as pipeline:
        await until(lambda: state(pipeline, 0) == "running")
        partition = pipeline.partition(0)
        await partition.roll_back(partition.owned.manifest.version)
        log.append(deletes(0, 2))
        await asyncio.sleep(0.8)

        assert log.consumers == 1
        assert state(pipeline, 0).startswith("paused: rolled back to manifest")
        await partition.resume(None, None)
        await until(lambda: next_offsets(parts) == [2, 0])
