"""The log for one machine: what was appended is there, in order, once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from vitrine.runtime.errors import ConfigError, StreamGap, Unavailable
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.log import (
    REPLAYED_OFFSET,
    DeadLetter,
    Entry,
    FeedbackEntry,
    Later,
    Position,
    Record,
    Source,
    Stream,
)
from vitrine.stream.partitioning import partition_of

PARTITIONS = 4
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stream" / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog.open(path, PARTITIONS)
    yield opened
    opened.close()


def in_partition(partition: int, count: int) -> list[str]:
    """`count` product ids of one partition."""
    names = (f"product-{number}" for number in range(1_000_000))
    return list(islice((name for name in names if partition_of(name, PARTITIONS) == partition), count))


def fill(log: EmbeddedLog, partition: int, count: int) -> None:
    log.append([Entry(name, name.encode()) for name in in_partition(partition, count)])


def offsets(records: list[Record], partition: int) -> list[int]:
    return [record.position.offset for record in records if record.position.partition == partition]


def end_of(log: EmbeddedLog, partition: int, stream: Stream = Stream.CATALOGUE) -> int:
    source = Source(partition, stream)
    return log.end_offsets([source])[source]


def everything(log: EmbeddedLog) -> list[Record]:
    return [record for partition in range(PARTITIONS) for record in log.read(Position(partition, 0), 1_000_000)]


def test_a_record_holds_what_was_appended(log: EmbeddedLog) -> None:
    before_us = time.time_ns() // 1_000

    [position] = log.append([Entry("p", b"value")])

    [record] = log.read(position, 10)
    assert (record.position, record.key, record.value) == (position, "p", b"value")
    assert before_us <= record.append_time_us <= time.time_ns() // 1_000


def test_a_product_goes_to_its_partition(log: EmbeddedLog) -> None:
    names = [f"product-{number}" for number in range(50)]

    positions = log.append([Entry(name, b"") for name in names])

    assert [position.partition for position in positions] == [partition_of(name, PARTITIONS) for name in names]


def test_offsets_are_dense_within_each_partition(log: EmbeddedLog) -> None:
    for begin in range(0, 300, 30):
        log.append([Entry(f"product-{number}", b"") for number in range(begin, begin + 30)])

    for partition in range(PARTITIONS):
        found = [record.position.offset for record in log.read(Position(partition, 0), 1_000)]
        assert found == list(range(end_of(log, partition)))


def test_positions_come_in_the_order_of_the_entries(log: EmbeddedLog) -> None:
    [name] = in_partition(2, 1)

    positions = log.append([Entry(name, b"first"), Entry(name, b"second")])

    assert [log.read(position, 1)[0].value for position in positions] == [b"first", b"second"]


def test_an_empty_log_ends_at_zero(log: EmbeddedLog) -> None:
    assert [end_of(log, partition) for partition in range(PARTITIONS)] == [0] * PARTITIONS


def test_appending_nothing_is_no_trouble(log: EmbeddedLog) -> None:
    assert log.append([]) == []


def test_a_log_opened_again_is_the_same_log(path: Path) -> None:
    first = EmbeddedLog.open(path, PARTITIONS)
    positions = first.append([Entry("p", b"value")])
    first.close()

    again = EmbeddedLog.open(path, PARTITIONS)

    assert again.log_id == first.log_id
    assert [record.key for record in again.read(positions[0], 10)] == ["p"]
    again.close()


def test_a_log_made_anew_is_another_log(path: Path, log: EmbeddedLog) -> None:
    other = EmbeddedLog.open(path.with_name("other.sqlite"), PARTITIONS)

    assert other.log_id != log.log_id
    other.close()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("partitions", [1, 8])
def test_a_log_with_another_number_of_partitions_names_the_setting(path: Path, partitions: int) -> None:
    with pytest.raises(ConfigError, match="has 4") as caught:
        EmbeddedLog.open(path, partitions)

    assert caught.value.field == "partitions"


def test_a_file_that_is_no_log_names_the_setting(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)

    with pytest.raises(ConfigError) as caught:
        EmbeddedLog.open(path, PARTITIONS)

    assert caught.value.field == "stream"


def test_a_place_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError) as caught:
        EmbeddedLog.open(tmp_path / "file" / "log.sqlite", PARTITIONS)

    assert caught.value.field == "stream"


def test_a_closed_log_is_unavailable(path: Path) -> None:
    log = EmbeddedLog.open(path, PARTITIONS)
    log.close()

    with pytest.raises(Unavailable):
        log.append([Entry("p", b"")])


def test_an_append_that_fails_leaves_nothing_behind(log: EmbeddedLog) -> None:
    bad = [Entry("p", b"good"), Entry("q", object())]  # type: ignore[arg-type]

    with pytest.raises(Unavailable):
        log.append(bad)

    assert everything(log) == []
    assert log.append([Entry("p", b"good")])[0].offset == 0


def append_many(path: Path, writer: int, count: int, start: Barrier) -> None:
    """Runs in a process of its own."""
    start.wait()
    log = EmbeddedLog.open(path, PARTITIONS)
    for number in range(0, count, 10):
        log.append([Entry(f"{writer}-{number + step}", b"%d" % writer) for step in range(10)])
    log.close()


def test_processes_that_open_a_new_log_and_append_at_once_lose_nothing(path: Path) -> None:
    start = SPAWN.Barrier(3)
    writers = [SPAWN.Process(target=append_many, args=(path, writer, 200, start)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    log = EmbeddedLog.open(path, PARTITIONS)
    records = everything(log)
    assert {record.key for record in records} == {f"{writer}-{number}" for writer in range(3) for number in range(200)}
    for partition in range(PARTITIONS):
        assert offsets(records, partition) == list(range(end_of(log, partition)))
    log.close()


def test_threads_may_share_a_log(log: EmbeddedLog) -> None:
    def work(writer: int) -> None:
        for number in range(30):
            log.append([Entry(f"{writer}-{number}", b"")])

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(everything(log)) == 120


def test_threads_that_open_a_new_log_at_once_share_its_id(path: Path) -> None:
    for number in range(10):
        file, start, opened = path.with_name(f"{number}.sqlite"), threading.Barrier(6), list[EmbeddedLog]()

        def open_it(file: Path = file, start: threading.Barrier = start, opened: list[EmbeddedLog] = opened) -> None:
            start.wait()
            opened.append(EmbeddedLog.open(file, PARTITIONS))

        threads = [threading.Thread(target=open_it) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for log in opened:
            log.close()

        assert len(opened) == 6
        assert len({log.log_id for log in opened}) == 1


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_opening_waits_for_another_that_is_making_the_file(path: Path, lock: str) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute(f"BEGIN {lock}")
    done = threading.Timer(0.1, other.execute, ("COMMIT",))
    done.start()

    EmbeddedLog.open(path, PARTITIONS).close()

    done.join()
    other.close()


class TestStreams:
    def test_each_stream_counts_its_own_offsets(self, log: EmbeddedLog) -> None:
        positions = log.append([Entry("p", b"product"), Entry("p", b"price", Stream.LIVE), Entry("p", b"product")])

        home = partition_of("p", PARTITIONS)
        assert positions == [Position(home, 0), Position(home, 0, Stream.LIVE), Position(home, 1)]

    def test_what_is_in_one_stream_is_not_in_the_other(self, log: EmbeddedLog) -> None:
        [catalogue, live] = log.append([Entry("p", b"product"), Entry("p", b"price", Stream.LIVE)])

        assert [record.value for position in (catalogue, live) for record in log.read(position, 10)] == [
            b"product",
            b"price",
        ]

    def test_each_stream_has_its_own_end(self, log: EmbeddedLog) -> None:
        log.append([Entry("p", b"price", Stream.LIVE)])

        home = partition_of("p", PARTITIONS)
        assert (end_of(log, home), end_of(log, home, Stream.LIVE)) == (0, 1)

    def test_headers_come_back_as_they_were(self, log: EmbeddedLog) -> None:
        headers = (("content-type", b"application/json"), ("twice", b"\xff\x00"), ("twice", b""))

        [position] = log.append([Entry("p", b"{}", headers=headers)])

        [record] = log.read(position, 1)
        assert record.headers == headers

    def test_a_record_without_a_value_comes_back_without_one(self, log: EmbeddedLog) -> None:
        [position] = log.append([Entry("p", None)])

        assert [record.value for record in log.read(position, 1)] == [None]

    def test_a_log_keeps_deletes_for_ever(self, log: EmbeddedLog) -> None:
        assert log.keeps_deletes_s is None


class TestLaterRecords:
    def test_the_newest_of_the_same_key_is_named(self, log: EmbeddedLog) -> None:
        first, _, newest = log.append([Entry("p", b"1"), Entry("p", b"2"), Entry("p", None)])

        assert log.later_records(log.read(first, 1)) == {first: Later(newer=newest)}

    def test_the_newest_record_has_none(self, log: EmbeddedLog) -> None:
        _, newest = log.append([Entry("p", b"1"), Entry("p", b"2")])

        assert log.later_records(log.read(newest, 1)) == {}

    def test_another_product_is_no_later_record(self, log: EmbeddedLog) -> None:
        one, other = in_partition(1, 2)
        first, _ = log.append([Entry(one, b""), Entry(other, b"")])

        assert log.later_records(log.read(first, 1)) == {}

    def test_an_older_event_that_was_published_again_says_nothing_newer(self, log: EmbeddedLog) -> None:
        old, new = log.append([Entry("p", b"1"), Entry("p", b"2")])
        log.append([_replay("p", old)])

        assert log.later_records(log.read(new, 1)) == {}

    def test_the_same_event_published_again_is_told_apart(self, log: EmbeddedLog) -> None:
        [event] = log.append([Entry("p", b"1")])
        [first] = log.append([_replay("p", event)])
        [second] = log.append([_replay("p", event)])

        found = log.later_records([*log.read(event, 1), *log.read(first, 1), *log.read(second, 1)])
        assert found == {event: Later(again=second), first: Later(again=second)}

    def test_what_came_between_an_event_and_its_replay_is_newer_than_both(self, log: EmbeddedLog) -> None:
        event, between = log.append([Entry("p", b"1"), Entry("p", b"2")])
        [replay] = log.append([_replay("p", event)])

        assert log.later_records(log.read(replay, 1)) == {replay: Later(newer=between)}

    @pytest.mark.parametrize("header", [b"", b"-1", b"soon", b"7", b"9" * 5000])
    def test_an_offset_that_cannot_be_true_says_nothing(self, log: EmbeddedLog, header: bytes) -> None:
        event, later = log.append([Entry("p", b"1"), Entry("p", b"2", headers=((REPLAYED_OFFSET, header),))])

        assert log.later_records(log.read(event, 1)) == {event: Later(newer=later)}

    def test_the_other_stream_has_no_later_record(self, log: EmbeddedLog) -> None:
        first, _ = log.append([Entry("p", b"product"), Entry("p", b"price", Stream.LIVE)])

        assert log.later_records(log.read(first, 1)) == {}


# The tables as the first release of Vitrine made them.
VERSION_0 = """
CREATE TABLE log (log_id TEXT NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE events (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB, append_time_us INTEGER NOT NULL,
    reason TEXT NOT NULL, partly_indexed INTEGER NOT NULL, time_us INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
);
INSERT INTO log VALUES ('an old id', 4);
INSERT INTO events VALUES (1, 0, 'a', x'01', 10), (1, 1, 'b', NULL, 20), (3, 0, 'c', x'02', 30);
INSERT INTO dead_letters VALUES (3, 0, 'c', x'02', 30, 'upsert.images: bad', 1, 40);
"""


class TestOldFiles:
    @pytest.fixture
    def old(self, path: Path) -> Path:
        path.parent.mkdir()
        connection = sqlite3.connect(path)
        connection.executescript(VERSION_0)
        connection.close()
        return path

    @pytest.fixture
    def opened(self, old: Path) -> Iterator[EmbeddedLog]:
        log = EmbeddedLog.open(old, PARTITIONS)
        yield log
        log.close()

    def test_a_file_of_the_first_release_keeps_its_records(self, opened: EmbeddedLog) -> None:
        assert everything(opened) == [
            Record(Position(1, 0), "a", b"\x01", 10),
            Record(Position(1, 1), "b", None, 20),
            Record(Position(3, 0), "c", b"\x02", 30),
        ]

    def test_it_keeps_its_dead_letters(self, opened: EmbeddedLog) -> None:
        record = Record(Position(3, 0), "c", b"\x02", 30)

        assert opened.dead_letters() == [DeadLetter(record, "upsert.images: bad", True, 40)]

    def test_it_is_still_the_same_log(self, opened: EmbeddedLog) -> None:
        assert opened.log_id == "an old id"

    def test_it_has_a_live_stream_from_then_on(self, opened: EmbeddedLog) -> None:
        [position] = opened.append([Entry("p", b"price", Stream.LIVE)])

        assert position.offset == 0

    def test_it_goes_on_where_it_ended(self, opened: EmbeddedLog) -> None:
        [name] = in_partition(1, 1)

        assert opened.append([Entry(name, b"")]) == [Position(1, 2)]

    def test_opened_a_second_time_it_is_as_it_was(self, old: Path) -> None:
        EmbeddedLog.open(old, PARTITIONS).close()
        again = EmbeddedLog.open(old, PARTITIONS)

        assert len(everything(again)) == 3
        again.close()

    def test_several_that_open_it_at_once_find_it_whole(self, old: Path) -> None:
        opened: list[EmbeddedLog] = []
        threads = [threading.Thread(target=lambda: opened.append(EmbeddedLog.open(old, PARTITIONS))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [len(everything(log)) for log in opened] == [3] * 4
        for log in opened:
            log.close()

    def test_a_file_of_a_release_without_feedback_takes_it_from_then_on(self, path: Path) -> None:
        log = EmbeddedLog.open(path, PARTITIONS)
        positions = log.append([Entry("p", b"value")])
        log.close()
        connection = sqlite3.connect(path)
        connection.executescript("DROP TABLE feedback; PRAGMA user_version = 2;")
        connection.close()

        again = EmbeddedLog.open(path, PARTITIONS)
        again.append_feedback([FeedbackEntry("query", b"clicked")])

        assert (again.log_id, list(again.feedback())) == (log.log_id, [FeedbackEntry("query", b"clicked")])
        assert [record.key for record in again.read(positions[0], 10)] == ["p"]
        again.close()

    def test_a_file_of_a_later_release_is_refused_and_left_alone(self, path: Path) -> None:
        EmbeddedLog.open(path, PARTITIONS).close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        before = path.read_bytes()

        with pytest.raises(ConfigError, match="version 99") as caught:
            EmbeddedLog.open(path, PARTITIONS)

        assert caught.value.field == "stream"
        assert path.read_bytes() == before


class TestConsumer:
    def test_every_record_comes_once_and_in_order(self, log: EmbeddedLog) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 20 + partition)
        consumer = log.consumer(range(PARTITIONS))

        records: list[Record] = []
        while batch := consumer.poll(7, 0):
            records += batch

        for partition in range(PARTITIONS):
            assert offsets(records, partition) == list(range(20 + partition))

    @pytest.mark.parametrize("max_records", [1, 2, 3, 7, 100])
    def test_no_more_come_than_asked_for(self, log: EmbeddedLog, max_records: int) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 10)
        consumer = log.consumer(range(PARTITIONS))

        assert len(consumer.poll(max_records, 0)) == min(max_records, 40)

    @pytest.mark.parametrize("max_records", [1, 2, 3])
    def test_every_partition_has_its_turn(self, log: EmbeddedLog, max_records: int) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 30)
        consumer = log.consumer(range(PARTITIONS))

        records = [record for _ in range(24 // max_records) for record in consumer.poll(max_records, 0)]

        assert [len(offsets(records, partition)) for partition in range(PARTITIONS)] == [6] * PARTITIONS

    def test_a_busy_partition_does_not_starve_the_others(self, log: EmbeddedLog) -> None:
        fill(log, 0, 200)
        fill(log, 3, 1)

        records = log.consumer(range(PARTITIONS)).poll(40, 0)

        assert offsets(records, 3) == [0]

    def test_only_the_assigned_partitions_are_read(self, log: EmbeddedLog) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 3)

        records = log.consumer([1, 2]).poll(100, 0)

        assert {record.position.partition for record in records} == {1, 2}

    def test_reading_goes_on_from_where_it_was_told(self, log: EmbeddedLog) -> None:
        fill(log, 1, 10)
        consumer = log.consumer([1])

        consumer.seek(Position(1, 7))

        assert offsets(consumer.poll(100, 0), 1) == [7, 8, 9]

    def test_it_may_be_told_to_go_back(self, log: EmbeddedLog) -> None:
        fill(log, 1, 3)
        consumer = log.consumer([1])
        consumer.poll(100, 0)

        consumer.seek(Position(1, 0))

        assert offsets(consumer.poll(100, 0), 1) == [0, 1, 2]

    def test_the_end_is_a_place_to_read_from(self, log: EmbeddedLog) -> None:
        fill(log, 1, 3)
        consumer = log.consumer([1])
        consumer.seek(Position(1, 3))
        assert consumer.poll(100, 0) == []

        fill(log, 1, 1)

        assert offsets(consumer.poll(100, 0), 1) == [3]

    def test_beyond_the_end_is_a_gap(self, log: EmbeddedLog) -> None:
        fill(log, 1, 3)

        with pytest.raises(StreamGap, match="the log ends at 3"):
            log.consumer([1]).seek(Position(1, 4))

    @pytest.mark.parametrize("missing", [[0], [2], [0, 1, 2], [3, 4]])
    def test_missing_records_are_a_gap(self, log: EmbeddedLog, path: Path, missing: list[int]) -> None:
        fill(log, 1, 6)
        with sqlite3.connect(path) as connection:
            connection.executemany("DELETE FROM events WHERE partition = 1 AND offset = ?", [[at] for at in missing])
        connection.close()

        with pytest.raises(StreamGap, match=f"offset {missing[0]} is gone"):
            log.consumer([1]).poll(100, 0)

    def test_a_paused_partition_is_not_read(self, log: EmbeddedLog) -> None:
        fill(log, 0, 3)
        fill(log, 1, 3)
        consumer = log.consumer([0, 1])

        records = consumer.poll(100, 0, paused=[Source(0)])

        assert {record.position.partition for record in records} == {1}

    def test_a_paused_partition_goes_on_where_it_stopped(self, log: EmbeddedLog) -> None:
        fill(log, 0, 6)
        consumer = log.consumer([0])
        consumer.poll(2, 0)
        assert consumer.poll(100, 0, paused={Source(0)}) == []

        assert offsets(consumer.poll(100, 0), 0) == [2, 3, 4, 5]

    def test_a_pause_is_of_one_stream_only(self, log: EmbeddedLog) -> None:
        log.append([Entry("p", b"product"), Entry("p", b"price", Stream.LIVE)])
        home = partition_of("p", PARTITIONS)

        records = log.consumer([home]).poll(10, 0, paused=[Source(home)])

        assert [record.value for record in records] == [b"price"]

    def test_live_records_come_beside_the_catalogues(self, log: EmbeddedLog) -> None:
        log.append([Entry("p", b"product"), Entry("p", b"price", Stream.LIVE)])

        records = log.consumer().poll(10, 0)

        assert {record.value for record in records} == {b"product", b"price"}

    def test_a_busy_catalogue_does_not_starve_live_records(self, log: EmbeddedLog) -> None:
        fill(log, 0, 200)
        log.append([Entry(name, b"price", Stream.LIVE) for name in in_partition(0, 1)])

        records = log.consumer([0]).poll(20, 0)

        assert b"price" in [record.value for record in records]

    def test_whoever_reads_the_file_has_all_its_partitions(self, log: EmbeddedLog) -> None:
        assert set(log.consumer().assigned()) == set(range(PARTITIONS))

    def test_it_says_how_far_each_source_has_come(self, log: EmbeddedLog) -> None:
        fill(log, 1, 5)
        consumer = log.consumer([1])
        consumer.poll(3, 0)

        assert (consumer.next_offset(Source(1)), consumer.next_offset(Source(1, Stream.LIVE))) == (3, 0)

    def test_with_nothing_to_read_it_waits_as_long_as_it_was_told(self, log: EmbeddedLog) -> None:
        started = time.monotonic()

        assert log.consumer([0]).poll(10, 0.2) == []
        assert time.monotonic() - started >= 0.2

    def test_it_wakes_when_something_is_appended(self, path: Path, log: EmbeddedLog) -> None:
        other = EmbeddedLog.open(path, PARTITIONS)
        later = threading.Timer(0.1, fill, (other, 0, 1))
        later.start()

        records = log.consumer([0]).poll(10, 30)

        later.join()
        other.close()
        assert offsets(records, 0) == [0]

    def test_two_consumers_do_not_disturb_each_other(self, log: EmbeddedLog) -> None:
        fill(log, 0, 5)
        one, two = log.consumer([0]), log.consumer([0])
        one.poll(100, 0)

        assert offsets(two.poll(100, 0), 0) == [0, 1, 2, 3, 4]


class TestDeadLetters:
    def letter(self, offset: int = 3, time_us: int = 100, value: bytes | None = b"value") -> DeadLetter:
        return DeadLetter(Record(Position(1, offset), "p", value, 50), "upsert.images: bad", True, time_us)

    def test_a_letter_holds_all_it_takes_to_publish_again(self, log: EmbeddedLog) -> None:
        log.put_dead_letters([self.letter()])

        assert log.dead_letters() == [self.letter()]

    def test_a_letter_may_be_of_a_record_without_a_value(self, log: EmbeddedLog) -> None:
        log.put_dead_letters([self.letter(value=None)])

        assert log.dead_letters() == [self.letter(value=None)]

    def test_the_same_letter_twice_is_one(self, log: EmbeddedLog) -> None:
        for _ in range(2):
            log.put_dead_letters([self.letter(), self.letter()])

        assert log.dead_letters() == [self.letter()]

    def test_letters_of_both_streams_are_kept_apart(self, log: EmbeddedLog) -> None:
        live = self.letter()._replace(record=Record(Position(1, 3, Stream.LIVE), "p", b"price", 50))

        log.put_dead_letters([self.letter(), live])

        assert log.dead_letters() == [self.letter(), live]

    def test_a_letter_keeps_the_headers_of_its_record(self, log: EmbeddedLog) -> None:
        letter = self.letter()._replace(record=Record(Position(1, 3), "p", b"{}", 50, (("content-type", b"x"),)))

        log.put_dead_letters([letter])

        assert log.dead_letters() == [letter]

    def test_they_come_oldest_first(self, log: EmbeddedLog) -> None:
        log.put_dead_letters([self.letter(3, 300), self.letter(1, 200), self.letter(2, 100)])

        assert [letter.time_us for letter in log.dead_letters()] == [100, 200, 300]

    def test_they_outlive_the_process(self, path: Path, log: EmbeddedLog) -> None:
        log.put_dead_letters([self.letter()])

        again = EmbeddedLog.open(path, PARTITIONS)
        letters = again.dead_letters()
        again.close()

        assert letters == [self.letter()]

    def test_they_are_no_events(self, log: EmbeddedLog) -> None:
        log.put_dead_letters([self.letter()])

        assert end_of(log, 1) == 0


def test_an_existing_log_is_opened_with_the_partitions_it_has(tmp_path: Path) -> None:
    with (
        closing(EmbeddedLog.open(tmp_path / "log", 3)) as made,
        closing(EmbeddedLog.open_existing(tmp_path / "log")) as log,
    ):
        assert (log.log_id, log.partitions) == (made.log_id, 3)


def test_a_log_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stream: there is no log"):
        EmbeddedLog.open_existing(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def _replay(key: str, of: Position) -> Entry:
    return Entry(key, b"again", of.stream, ((REPLAYED_OFFSET, str(of.offset).encode()),))
