"""An indexer whose clock is an hour off.

It may change the times that are shown, and for how long what has expired takes room. It never changes which version of
a product is the newest, who owns a partition, what is read next, what is collected or what is answered: offsets,
numbers, the log's and the store's own clocks decide those, and each searcher's clock hides what has expired.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.indexer import publish
from services.indexer.compact import merge_rolled
from services.indexer.publish import Commit, Publisher
from services.indexer.source import judged
from tests.faults.one_partition import OnePartition, answered, commit, compact, roll, version
from vitrine.index.retention import GRACE_S, ROLLBACK_S
from vitrine.runtime.errors import Fenced
from vitrine.shards.records import Tombstone
from vitrine.stream import codec
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import Position, Record
from vitrine.stream.partitioning import partition_of

HOUR_US = 3_600_000_000

off_by_an_hour = pytest.mark.parametrize("ahead_us", [HOUR_US, -HOUR_US], ids=["an hour ahead", "an hour behind"])


class Clock:
    """What this process takes for now: the true time and `ahead_us`."""

    def __init__(self) -> None:
        self.ahead_us = 0
        self._true_ns = time.time_ns

    def time_ns(self) -> int:
        return self._true_ns() + self.ahead_us * 1_000

    @property
    def true_us(self) -> int:
        return self._true_ns() // 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    shown = Clock()
    monkeypatch.setattr("time.time_ns", shown.time_ns)
    monkeypatch.setattr(publish, "build_rolled", merge_rolled)
    return shown


@pytest.fixture
def partition(tmp_path: Path) -> OnePartition:
    return OnePartition(tmp_path)


@off_by_an_hour
def test_what_an_owner_with_another_clock_commits_is_newer_all_the_same(
    partition: OnePartition, clock: Clock, ahead_us: int
) -> None:
    first = partition.claim()
    commit(first, version("changed", 0), version("gone", 1), version("stays", 2))

    clock.ahead_us = ahead_us
    second = partition.claim()
    commit(second, version("changed", 3), Tombstone("gone", 4))
    roll(second)
    clock.ahead_us = -ahead_us
    third = partition.claim()
    commit(third, version("last", 5))

    assert answered(partition.view(clock.true_us)) == {"changed": 3, "stays": 2, "last": 5}
    assert (third.manifest.writer_epoch, third.manifest.next_offset) == (3, 6)
    for overtaken in (first, second):
        with pytest.raises(Fenced):
            commit(overtaken, version("stays", 6))


@off_by_an_hour
def test_nothing_is_collected_that_the_store_says_is_young(
    partition: OnePartition, clock: Clock, ahead_us: int
) -> None:
    owner = partition.claim()
    for offset in range(4):
        commit(owner, version("p", offset))
    roll(owner)
    stored = partition.shelf.stored()

    clock.ahead_us = ahead_us
    assert owner.collect() == (0, 0)

    assert partition.shelf.stored() == stored


@off_by_an_hour
def test_what_the_store_says_is_old_is_collected(partition: OnePartition, clock: Clock, ahead_us: int) -> None:
    clock.ahead_us = ahead_us
    owner = partition.claim()
    for offset in range(4):
        commit(owner, version("p", offset))
    _age(partition.folder / "store", ROLLBACK_S + GRACE_S)
    roll(owner)
    commit(owner, version("q", 4))

    manifests, shards = owner.collect()

    assert (manifests, shards) == (5, 4)
    assert answered(partition.view(clock.true_us)) == {"p": 3, "q": 4}


@off_by_an_hour
def test_an_event_is_dated_by_the_log_and_not_by_the_indexer(
    partition: OnePartition, clock: Clock, ahead_us: int
) -> None:
    appended_us, index = clock.true_us, replace(partition.index, retention_s=86_400)
    clock.ahead_us = ahead_us

    undated = judged(_record(appended_us), index, clock.time_ns() // 1_000)
    soon = judged(_record(appended_us, appended_us + HOUR_US - 1), index, clock.time_ns() // 1_000)
    far = judged(_record(appended_us, appended_us + HOUR_US + 1), index, clock.time_ns() // 1_000)

    assert isinstance(undated.event, Upsert)
    assert undated.event.event_time_us == appended_us
    assert undated.event.expires_at_us == appended_us + 86_400_000_000
    assert soon.refused == ""
    assert far.refused.startswith("event_time: ")


@off_by_an_hour
def test_nothing_is_dropped_or_kept_that_an_hour_more_or_less_would_decide(
    partition: OnePartition, clock: Clock, ahead_us: int
) -> None:
    owner = _owner_of_what_expires(partition, clock)
    clock.ahead_us = ahead_us

    compact(owner)

    assert answered(partition.view(clock.true_us)) == {"in half an hour": 1, "in two hours": 2, "never": 3}
    assert answered(partition.view(clock.true_us + HOUR_US)) == {"in two hours": 2, "never": 3}


def test_an_event_that_expires_within_the_hour_is_indexed_by_a_clock_that_is_an_hour_ahead(
    partition: OnePartition, clock: Clock
) -> None:
    record = _record(clock.true_us, expires_us=clock.true_us + HOUR_US // 2)
    clock.ahead_us = HOUR_US

    assert isinstance(judged(record, partition.index, clock.time_ns() // 1_000).event, Upsert)


@off_by_an_hour
def test_how_far_the_index_has_come_never_goes_back(partition: OnePartition, clock: Clock, ahead_us: int) -> None:
    partition.claim().commit(Commit(index_time_us=clock.true_us, synced_us=clock.true_us))
    before = partition.log.latest()[0]

    clock.ahead_us = ahead_us
    after = partition.claim().manifest

    assert (after.index_time_us, after.synced_us) == (before.index_time_us, before.synced_us)


def _owner_of_what_expires(partition: OnePartition, clock: Clock) -> Publisher:
    owner = partition.claim()
    expiries_us = {"half an hour ago": -HOUR_US // 2, "in half an hour": HOUR_US // 2, "in two hours": 2 * HOUR_US}
    products = [
        replace(version(name, offset), expires_at_us=clock.true_us + from_now_us)
        for offset, (name, from_now_us) in enumerate(expiries_us.items())
    ]
    commit(owner, *products, version("never", 3))
    return owner


def _record(appended_us: int, happened_us: int | None = None, expires_us: int | None = None) -> Record:
    event = Upsert("p", (ImageRef("0", sha256=bytes(32)),), "", {}, happened_us, expires_us)
    return Record(Position(partition_of("p", 2), 0), "p", codec.encode(event), appended_us)


def _age(folder: Path, by_s: float) -> None:
    """Everything in a folder store was written `by_s` earlier, by the store's clock."""
    for path in folder.rglob("*"):
        written_s = path.stat().st_mtime - by_s
        os.utime(path, (written_s, written_s))
