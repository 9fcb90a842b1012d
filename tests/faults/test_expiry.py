"""What has expired is gone at that moment, and what it replaced does not come back in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.indexer import publish
from services.indexer.compact import merge_rolled
from services.indexer.publish import Publisher
from services.indexer.source import MAX_AHEAD_US, judged
from tests.faults.one_partition import OnePartition, answered, commit, compact, roll, version
from vitrine.shards.records import ProductVersion
from vitrine.stream import codec
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import Position, Record
from vitrine.stream.partitioning import partition_of

DAY_US = 86_400_000_000
RETENTION_S = 90 * 86_400.0
NOW_US = 1_800_000_000_000_000
# The newer version says that it happened 89 days ago: it expires tomorrow, the older one in 90 days.
BACKDATED_US = NOW_US - 89 * DAY_US
TOMORROW_US = NOW_US + DAY_US + 1
# When an indexer drops it for good, whatever its clock.
DROPPED_US = TOMORROW_US + MAX_AHEAD_US


class Clock:
    """What `time.time_ns` says, in microseconds."""

    now_us = NOW_US

    def time_ns(self) -> int:
        return self.now_us * 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of this process, and rolled shards are built in it."""
    shown = Clock()
    monkeypatch.setattr("time.time_ns", shown.time_ns)
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)
    return shown


@pytest.fixture
def partition(tmp_path: Path) -> OnePartition:
    partition = OnePartition(tmp_path)
    partition.index = replace(partition.index, retention_s=RETENTION_S)
    return partition


def event(partition: OnePartition, offset: int, happened_us: int) -> ProductVersion:
    """The product as the indexer takes an event of it that was appended now."""
    said = Upsert("p", (ImageRef("0", sha256=bytes(32)),), "", {}, event_time_us=happened_us)
    place = Position(partition_of("p", partition.index.partitions), offset)
    record = Record(place, "p", codec.encode(said), NOW_US)
    taken = judged(record, partition.index, NOW_US).event
    assert isinstance(taken, Upsert)
    assert taken.event_time_us == happened_us
    return replace(version("p", offset), event_time_us=happened_us, expires_at_us=taken.expires_at_us)


def owner_of_both(partition: OnePartition) -> Publisher:
    """The older version lies in the partition's oldest shard, the newer, backdated one in the next."""
    owner = partition.claim()
    commit(owner, event(partition, 0, NOW_US), version("other", 1))
    roll(owner)
    commit(owner, event(partition, 2, BACKDATED_US), version("another", 3))
    return owner


def test_a_product_is_found_until_its_retention_ends(partition: OnePartition, clock: Clock) -> None:
    owner_of_both(partition)

    assert answered(partition.view(TOMORROW_US - 2)) == {"other": 1, "p": 2, "another": 3}
    assert answered(partition.view(TOMORROW_US)) == {"other": 1, "another": 3}


@pytest.mark.parametrize("when", ["before it expires", "just after", "after it is dropped"])
@pytest.mark.parametrize("what", ["the newer shard", "all shards"])
def test_an_older_version_stays_hidden_when_the_newer_one_expires(
    partition: OnePartition, clock: Clock, when: str, what: str
) -> None:
    owner = owner_of_both(partition)
    clock.now_us = {"just after": TOMORROW_US, "after it is dropped": DROPPED_US}.get(when, NOW_US)

    roll(owner, 1 if what == "the newer shard" else 0)

    assert answered(partition.view(TOMORROW_US)) == {"other": 1, "another": 3}
    clock.now_us = DROPPED_US
    compact(owner)
    assert answered(partition.view(TOMORROW_US)) == {"other": 1, "another": 3}


def test_a_newer_version_than_the_expired_one_is_found(partition: OnePartition, clock: Clock) -> None:
    owner = owner_of_both(partition)
    clock.now_us = DROPPED_US
    roll(owner, 1)

    commit(owner, version("p", 4))
    compact(owner)

    assert answered(partition.view(TOMORROW_US)) == {"other": 1, "another": 3, "p": 4}


def test_fresh_shards_merged_after_it_expired_go_on_hiding_it(partition: OnePartition, clock: Clock) -> None:
    owner = owner_of_both(partition)
    clock.now_us = DROPPED_US

    for offset in range(4, 4 + publish.MAX_FRESH_SHARDS):
        commit(owner, version("busy", offset))

    assert len(owner.manifest.shards) == 2
    assert answered(partition.view(TOMORROW_US)) == {"other": 1, "another": 3, "busy": 3 + publish.MAX_FRESH_SHARDS}
