"""What has been read and is not published yet keeps its order, and an offset never passes what is not safe."""

from __future__ import annotations

import pytest

from services.indexer.embed import Outcome
from services.indexer.pending import MAX_EVENTS, Pending
from tests.faults.one_partition import version
from vitrine.index.manifest import Manifest
from vitrine.shards.records import Change, LiveVersion
from vitrine.stream.log import DeadLetter, Position, Record, Stream

MANIFEST = Manifest(0, version=3, next_offset=10, next_live_offset=20, index_time_us=500, synced_us=400)


@pytest.fixture
def pending() -> Pending:
    begun = Pending()
    begun.begin(MANIFEST)
    return begun


def outcome(offset: int, change: Change | LiveVersion | None = None, appended_us: int = 0) -> Outcome:
    record = Record(Position(0, offset), f"p{offset}", None, appended_us)
    return Outcome(record, change, None if change else DeadLetter(record, "bad", False, 0))


def test_nothing_read_is_a_commit_that_changes_nothing(pending: Pending) -> None:
    commit = pending.take(MANIFEST).commit

    assert (commit.changes, commit.live) == ([], [])
    assert (commit.next_offset, commit.next_live_offset) == (10, 20)
    assert (commit.index_time_us, commit.synced_us) == (500, 400)


def test_a_commit_takes_what_both_streams_have_brought(pending: Pending) -> None:
    price = LiveVersion("p", 20, {"price": 1.0})
    pending.add(Stream.CATALOGUE, [outcome(10, version("p", 10)), outcome(11)], 12)
    pending.add(Stream.LIVE, [outcome(20, price)], 21)

    taken = pending.take(MANIFEST)

    assert (taken.commit.changes, taken.commit.live) == ([version("p", 10)], [price])
    assert (taken.commit.next_offset, taken.commit.next_live_offset) == (12, 21)
    assert [letter.record.position.offset for letter in taken.dead_letters] == [11]
    assert pending.take(MANIFEST).all == []


def test_what_a_failed_commit_took_comes_before_what_was_read_since(pending: Pending) -> None:
    pending.add(Stream.CATALOGUE, [outcome(10), outcome(11)], 12)
    failed = pending.take(MANIFEST)
    pending.add(Stream.CATALOGUE, [outcome(12)], 13)

    pending.put_back(failed)

    again = pending.take(MANIFEST)
    assert [entry.record.position.offset for entry in again.outcomes] == [10, 11, 12]
    assert again.commit.next_offset == 13


def test_the_index_is_as_old_as_the_stream_that_lags(pending: Pending) -> None:
    pending.add(Stream.CATALOGUE, [outcome(10, version("p", 10), appended_us=900)], 11)
    assert pending.take(MANIFEST).commit.index_time_us == 500

    pending.add(Stream.LIVE, [outcome(20, LiveVersion("p", 20, {}), appended_us=700)], 21)
    assert pending.take(MANIFEST).commit.index_time_us == 700


def test_it_is_complete_when_both_streams_have_been_read_to_their_ends(pending: Pending) -> None:
    assert not pending.surveyed({Stream.CATALOGUE: 11, Stream.LIVE: 20}, 1_000)
    assert pending.synced_us == 400

    pending.add(Stream.CATALOGUE, [outcome(10)], 11)

    assert pending.surveyed({Stream.CATALOGUE: 11, Stream.LIVE: 20}, 2_000)
    commit = pending.take(MANIFEST).commit
    assert (commit.synced_us, commit.index_time_us) == (2_000, 2_000)


def test_there_is_room_until_there_are_too_many(pending: Pending) -> None:
    pending.add(Stream.CATALOGUE, [outcome(10)] * (MAX_EVENTS - 1), 11)
    assert pending.has_room(Stream.CATALOGUE)

    pending.add(Stream.CATALOGUE, [outcome(11)], 12)

    assert not pending.has_room(Stream.CATALOGUE)
    assert pending.has_room(Stream.LIVE)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 1000])
def test_of_the_times_of_many_events_a_few_are_kept_the_first_among_them(pending: Pending, count: int) -> None:
    events = [outcome(10 + number, version("p", 10), appended_us=number) for number in range(count)]
    pending.add(Stream.CATALOGUE, events, 10 + count)

    sampled = pending.take(MANIFEST).commit.sampled_append_us

    assert len(sampled) <= 32
    assert len(sampled) >= min(count, 16)
    assert sampled[0] == 0
    assert list(sampled) == sorted(sampled)
