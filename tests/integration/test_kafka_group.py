"""Members of a consumer group on a real Kafka: what they read, from where, and what they leave to the others."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.synchronize import Event
from pathlib import Path

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
    own_settings,
    own_topics,
    producer,
    read,
    reading,
    ready,
    remove_before,
    seek_all,
    settle,
)
from tests.kafka.broker import Broker, running_broker
from vitrine.runtime.errors import ConfigError, StreamGap
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.consumer import GroupConsumer
from vitrine.stream.kafka.log import KafkaLog
from vitrine.stream.kafka.topics import create_topics
from vitrine.stream.log import Entry, Position, Record, Source, Stream

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """kafka-python reports every connection that it loses, the ones that a test cuts too."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("kafka").setLevel(logging.NOTSET)


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


class TestMembers:
    def test_two_share_the_partitions_and_each_comes_with_its_live_ones(self, log: KafkaLog) -> None:
        for stream in Stream:
            for partition in range(PARTITIONS):
                fill(log, partition, 5, stream)
        with reading(log) as one, reading(log) as two:
            settle([one, two], 1, 1)

            for member in (one, two):
                [own] = member.assigned()
                seek_all(member)
                assert {record.source for record in read(member, 10)} == {Source(own), Source(own, Stream.LIVE)}

    def test_a_partition_that_stays_is_not_assigned_anew(self, log: KafkaLog) -> None:
        with reading(log) as one, reading(log) as two:
            settle([one], PARTITIONS)
            before = dict(one.assigned())
            settle([one, two], 1, 1)

            [kept] = one.assigned().items()
            assert kept in before.items()

    def test_records_of_a_partition_that_has_moved_do_not_come(self, log: KafkaLog) -> None:
        with ExitStack() as closing:
            one = ready(closing.enter_context(reading(log)))
            two = closing.enter_context(reading(log))
            settle([one, two], 1, 1)
            [moved] = two.assigned()
            fill(log, moved, 5)
            fill(log, moved, 5, Stream.LIVE)

            assert one.poll(100, 0.5) == []
            assert one.next_offset(Source(moved)) == 0

    def test_one_that_closes_hands_over(self, log: KafkaLog) -> None:
        with reading(log) as one:
            with reading(log) as two:
                settle([one, two], 1, 1)
            settle([one], PARTITIONS)

            came, stayed = sorted(one.assigned().values(), reverse=True)
            assert came > stayed

    def test_a_partition_that_comes_back_is_read_from_where_it_is_told(self, log: KafkaLog) -> None:
        for partition in range(PARTITIONS):
            fill(log, partition, 10)
        with reading(log) as one:
            read(ready(one), 20)
            with reading(log) as two:
                settle([one, two], 1, 1)
                [moved] = two.assigned()
            settle([one], PARTITIONS)

            one.seek(Position(moved, 6))

            assert offsets(read(one, 4), Source(moved)) == [6, 7, 8, 9]

    def test_one_that_dies_hands_over_when_its_session_ends(self, log: KafkaLog, settings: KafkaSettings) -> None:
        holds = SPAWN.Event()
        other = SPAWN.Process(target=hold_partitions, args=(settings, holds), daemon=True)
        with reading(log) as one:
            settle([one], PARTITIONS)
            other.start()
            while not holds.is_set():
                one.poll(10, 0.1)
                one.assigned()
            assert len(one.assigned()) == 1

            other.kill()
            other.join()
            settle([one], PARTITIONS)

    def test_a_named_member_that_comes_back_keeps_its_partitions(self, kafka: Broker) -> None:
        first = own_topics(kafka, group_instance_id="indexer-0", session_timeout_s=10.0)
        second = KafkaSettings(first.servers, first.topic, first.group, "indexer-1", session_timeout_s=10.0)
        with opened(first) as log, opened(second) as log_of_second, reading(log_of_second) as two:
            with reading(log) as one:
                settle([one, two], 1, 1)
                held, stays = set(one.assigned()), dict(two.assigned())
            with reading(log) as one:
                settle([one, two], 1, 1)

                assert set(one.assigned()) == held
                assert two.assigned() == stays

    def test_two_members_of_one_name_end_the_older_one(self, kafka: Broker) -> None:
        with opened(own_topics(kafka, group_instance_id="indexer-0")) as log, reading(log) as one:
            settle([one], PARTITIONS)
            with reading(log) as two, pytest.raises(ConfigError, match="another member has joined") as caught:
                poll_in_turn([two, one])

        assert caught.value.field == "kafka_group_instance_id"

    def test_a_session_that_the_cluster_refuses_names_the_setting(self, kafka: Broker) -> None:
        settings = own_topics(kafka, session_timeout_s=0.2)
        with opened(settings) as log, reading(log) as consumer, pytest.raises(ConfigError) as caught:
            poll_in_turn([consumer])

        assert caught.value.field == "kafka_session_timeout_s"

    def test_one_that_joins_in_many_short_polls_has_its_partitions(self, log: KafkaLog) -> None:
        with reading(log) as consumer:
            end_s = time.monotonic() + PATIENCE_S
            while len(consumer.assigned()) < PARTITIONS and time.monotonic() < end_s:
                consumer.poll(10, 0.0)
                time.sleep(0.002)

            assert len(consumer.assigned()) == PARTITIONS


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
class TestBrokerThatDies:
    @pytest.fixture
    def own_broker(self, kafka: Broker, tmp_path: Path) -> Iterator[Broker]:
        """One that a test may kill. `kafka` is asked for because it skips where there can be none."""
        with running_broker(tmp_path) as broker:
            yield broker
        gc.collect()  # kafka-python leaves the sockets of refused connections to it: here, where that is no error

    def test_in_mid_reading_nothing_is_lost_and_nothing_comes_twice(self, own_broker: Broker) -> None:
        settings = own_settings(own_broker, session_timeout_s=30.0)
        create_topics(settings, PARTITIONS, 1)
        with opened(settings) as log:
            fill(log, 0, 300)
            fill(log, 0, 300, Stream.LIVE)
            with reading(log) as consumer:
                ready(consumer)
                records = consumer.poll(10, 5.0)
                own_broker.kill()
                records += consumer.poll(10, 0.5)
                own_broker.restart()

                log.append([Entry(name, b"new") for name in in_partition(0, 3)])
                records += read(consumer, 603 - len(records))

        assert offsets(records, Source(0)) == list(range(303))
        assert offsets(records, Source(0, Stream.LIVE)) == list(range(300))

    def test_closing_does_not_wait_for_it(self, own_broker: Broker) -> None:
        settings = own_settings(own_broker)
        create_topics(settings, PARTITIONS, 1)
        with ExitStack() as closing:
            log = closing.enter_context(opened(settings))
            ready(closing.enter_context(reading(log)))
            own_broker.kill()
            started_s = time.monotonic()

        assert time.monotonic() - started_s < 12


def hold_partitions(settings: KafkaSettings, holds: Event) -> None:
    """Runs in a process of its own until that is killed."""
    log = KafkaLog.open(settings, PARTITIONS)
    consumer = log.consumer()
    while True:
        consumer.poll(10, 0.1)
        if consumer.assigned():
            holds.set()


def poll_in_turn(consumers: list[GroupConsumer]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for consumer in consumers:
            consumer.poll(10, 0.1)


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
