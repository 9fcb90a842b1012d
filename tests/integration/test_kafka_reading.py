"""A sole member reads a real Kafka: everything, once, from where it is told, and never over a gap."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections.abc import Iterator

import pytest

from tests.integration.kafka_topics import (
    KAFKA,
    PARTITIONS,
    PATIENCE_S,
    add_partition,
    administration,
    fill,
    in_partition,
    offsets,
    opened,
    own_topics,
    producer,
    read,
    reading,
    ready,
    remove_before,
    settle,
)
from tests.kafka.broker import Broker
from vitrine.runtime.errors import StreamGap
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.consumer import GroupConsumer
from vitrine.stream.kafka.log import KafkaLog
from vitrine.stream.log import Entry, Position, Record, Source, Stream

pytestmark = pytest.mark.thorough

SPAWN = multiprocessing.get_context("spawn")


# kafka-python leaves sockets of connections that did not come about to the garbage collector.


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """kafka-python reports every connection that it loses, the ones that a test cuts too."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("kafka").setLevel(logging.NOTSET)
    gc.collect()  # what it has left behind: here, where that is no error


@pytest.fixture
def settings(kafka: Broker) -> KafkaSettings:
    return own_topics(kafka)


@pytest.fixture
def log(settings: KafkaSettings) -> Iterator[KafkaLog]:
    with opened(settings) as log:
        yield log


class TestReading:
    def test_every_record_of_both_streams_comes_once_and_in_order(self, log: KafkaLog) -> None:
        for stream in Stream:
            for partition in range(PARTITIONS):
                fill(log, partition, 300, stream)

        with reading(log) as consumer:
            records = read(ready(consumer), 1_200)
            assert consumer.poll(100, 0.3) == []

        for source in (Source(partition, stream) for stream in Stream for partition in range(PARTITIONS)):
            assert offsets(records, source) == list(range(300))

    @pytest.mark.parametrize("max_records", [1, 7])
    def test_no_more_come_than_asked_for(self, log: KafkaLog, max_records: int) -> None:
        fill(log, 0, 30)
        fill(log, 0, 30, Stream.LIVE)

        with reading(log) as consumer:
            ready(consumer)
            batches = [consumer.poll(max_records, 0.3) for _ in range(8)]

        assert max(len(batch) for batch in batches) == max_records

    def test_neither_stream_starves_the_other(self, log: KafkaLog) -> None:
        for stream in Stream:
            fill(log, 0, 100, stream)

        with reading(log) as consumer:
            ready(consumer)
            seen = [record.source.stream for _ in range(40) for record in consumer.poll(2, 0.3)]

        assert min(seen.count(stream) for stream in Stream) >= 20

    def test_nothing_is_read_before_it_is_said_from_where(self, log: KafkaLog, settings: KafkaSettings) -> None:
        fill(log, 0, 10)
        commit(settings, 0, 4)

        with reading(log) as consumer:
            settle([consumer], PARTITIONS)
            assert consumer.poll(100, 0.5) == []
            assert consumer.next_offset(Source(0)) == 0

    def test_the_offset_that_kafka_has_committed_is_not_looked_at(self, log: KafkaLog, settings: KafkaSettings) -> None:
        fill(log, 0, 10)
        commit(settings, 0, 4)

        with reading(log) as consumer:
            settle([consumer], PARTITIONS)
            consumer.seek(Position(0, 7))
            records = read(consumer, 3)

        assert offsets(records, Source(0)) == [7, 8, 9]

    def test_what_is_published_is_committed_for_tools_that_show_lag(
        self, log: KafkaLog, settings: KafkaSettings
    ) -> None:
        fill(log, 0, 10)
        place = KAFKA.TopicPartition(settings.topic, 0)
        with reading(log) as consumer:
            ready(consumer)
            consumer.published([Position(0, 6)])
            with administration(settings) as client:
                end_s = time.monotonic() + PATIENCE_S
                while time.monotonic() < end_s:
                    committed = client.list_group_offsets([settings.group])[settings.group].get(place)
                    if committed:
                        break
                    consumer.poll(1, 0.05)

        assert committed.offset == 6

    def test_it_may_be_told_to_go_back(self, log: KafkaLog) -> None:
        fill(log, 0, 3)
        with reading(log) as consumer:
            read(ready(consumer), 3)

            consumer.seek(Position(0, 1))

            assert offsets(read(consumer, 2), Source(0)) == [1, 2]

    def test_a_pause_is_of_one_source_only(self, log: KafkaLog) -> None:
        for stream in Stream:
            for partition in range(PARTITIONS):
                fill(log, partition, 5, stream)
        paused = (Source(0), Source(1, Stream.LIVE))

        with reading(log) as consumer:
            records = read(ready(consumer), 10, paused)
            assert consumer.poll(100, 0.3, paused) == []

            assert {record.source for record in records} == {Source(1), Source(0, Stream.LIVE)}
            assert {record.source for record in read(consumer, 10)} == set(paused)

    def test_a_pause_in_the_middle_loses_nothing(self, log: KafkaLog) -> None:
        fill(log, 0, 200)
        with reading(log) as consumer:
            ready(consumer)
            records: list[Record] = []
            for _ in range(20):
                records += consumer.poll(7, 0.2)
                assert consumer.poll(7, 0.02, [Source(0)]) == []
            records += read(consumer, 200 - len(records))

        assert offsets(records, Source(0)) == list(range(200))


class TestTransactions:
    def test_what_was_aborted_never_comes_and_is_passed_over(self, log: KafkaLog, settings: KafkaSettings) -> None:
        transaction(settings, b"aborted", commit=False)
        with reading(log) as consumer:
            ready(consumer)
            reached(consumer, Source(0), 4)  # three records and the marker that takes them back

            transaction(settings, b"committed", commit=True)
            records = read(consumer, 3)
            reached(consumer, Source(0), 8)

        assert [(record.position.offset, record.value) for record in records] == [
            (offset, b"committed") for offset in (4, 5, 6)
        ]

    def test_the_place_behind_a_marker_is_one_to_go_on_from(self, log: KafkaLog, settings: KafkaSettings) -> None:
        transaction(settings, b"aborted", commit=False)
        [position] = fill(log, 0, 1)

        with reading(log) as consumer:
            settle([consumer], PARTITIONS)
            consumer.seek(Position(0, 4))

            assert [record.position for record in read(consumer, 1)] == [position]

    def test_dead_letters_and_later_records_are_found_behind_one(self, log: KafkaLog, settings: KafkaSettings) -> None:
        [name] = in_partition(0, 1)
        [first] = log.append([Entry(name, b"")])
        transaction(settings, b"aborted", commit=False)

        # The aborted records have this key as well.
        assert log.later_records([Record(first, name, b"", 0)]) == {}


class TestGaps:
    def test_beyond_the_end(self, log: KafkaLog) -> None:
        fill(log, 1, 3)
        with reading(log) as consumer:
            settle([consumer], PARTITIONS)

            with pytest.raises(StreamGap, match="up to 4, the log ends at 3") as caught:
                consumer.seek(Position(1, 4))

        assert caught.value.partition == 1

    def test_before_the_begin(self, log: KafkaLog, settings: KafkaSettings) -> None:
        fill(log, 1, 6)
        remove_before(settings, Position(1, 4))
        with reading(log) as consumer:
            settle([consumer], PARTITIONS)

            with pytest.raises(StreamGap, match="offsets 2 to 3 are gone") as caught:
                consumer.seek(Position(1, 2))

        assert caught.value.partition == 1

    @pytest.mark.parametrize("stream", list(Stream))
    def test_records_that_go_while_they_wait_to_be_read(
        self, log: KafkaLog, settings: KafkaSettings, stream: Stream
    ) -> None:
        fill(log, 1, 6, stream)
        with reading(log) as consumer:
            ready(consumer)
            remove_before(settings, Position(1, 4, stream))

            with pytest.raises(StreamGap, match="offset 0 is gone") as caught:
                read(consumer, 1)

        assert caught.value.partition == 1

    def test_a_gap_of_one_source_loses_no_record_of_another(self, log: KafkaLog, settings: KafkaSettings) -> None:
        fill(log, 0, 50)
        fill(log, 0, 50, Stream.LIVE)
        fill(log, 1, 6, Stream.LIVE)
        gone = Source(1, Stream.LIVE)
        with reading(log) as consumer:
            ready(consumer)
            remove_before(settings, Position(1, 4, Stream.LIVE))
            records: list[Record] = []
            paused: list[Source] = []
            end_s = time.monotonic() + PATIENCE_S
            while (len(records) < 100 or not paused) and time.monotonic() < end_s:
                try:
                    records += consumer.poll(10, 0.2, paused)
                except StreamGap:
                    paused = [gone]

        assert paused == [gone]
        assert offsets(records, Source(0)) == list(range(50))
        assert offsets(records, Source(0, Stream.LIVE)) == list(range(50))

    def test_partitions_beyond_the_indexs_number_are_not_read(self, log: KafkaLog, settings: KafkaSettings) -> None:
        add_partition(settings)

        with reading(log) as consumer:
            settle([consumer], PARTITIONS)

            assert set(consumer.assigned()) == {0, 1}


def commit(settings: KafkaSettings, partition: int, offset: int) -> None:
    """As if somebody had read so far for the group."""
    from kafka.structs import OffsetAndMetadata

    place = KAFKA.TopicPartition(settings.topic, partition)
    client = KAFKA.KafkaConsumer(bootstrap_servers=settings.servers, group_id=settings.group, enable_auto_commit=False)
    client.assign([place])
    client.commit({place: OffsetAndMetadata(offset, "", -1)})
    client.close()


def transaction(settings: KafkaSettings, value: bytes, commit: bool) -> None:
    """Three records of partition 0, and their end."""
    [name] = in_partition(0, 1)
    with producer(settings, transactional_id=f"{settings.group}-{value.decode()}") as client:
        client.init_transactions()
        client.begin_transaction()
        for _ in range(3):
            client.send(settings.topic, value, name.encode(), partition=0)
        client.flush()
        client.commit_transaction() if commit else client.abort_transaction()


def reached(consumer: GroupConsumer, source: Source, offset: int) -> None:
    """Polls until everything before `offset` has been, with no record on the way."""
    end_s = time.monotonic() + PATIENCE_S
    while consumer.next_offset(source) < offset:
        assert time.monotonic() < end_s, f"came to {consumer.next_offset(source)}, not to {offset}"
        assert consumer.poll(100, 0.1) == []
