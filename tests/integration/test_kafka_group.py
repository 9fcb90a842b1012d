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
    PARTITIONS,
    PATIENCE_S,
    fill,
    in_partition,
    offsets,
    opened,
    own_settings,
    own_topics,
    read,
    reading,
    ready,
    seek_all,
    settle,
)
from tests.kafka.broker import Broker, running_broker
from vitrine.runtime.errors import ConfigError, Unavailable
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.consumer import GroupConsumer
from vitrine.stream.kafka.log import KafkaLog
from vitrine.stream.kafka.topics import create_topics
from vitrine.stream.log import Entry, Position, Source, Stream

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


class TestBrokerThatDies:
    @pytest.fixture
    def own_broker(self, kafka: Broker, tmp_path: Path) -> Iterator[Broker]:
        """One that a test may kill. `kafka` is asked for because it skips where there can be none."""
        with running_broker(tmp_path) as broker:
            yield broker

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

                eventually_passes(log)

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


def eventually_passes(log: KafkaLog) -> None:
    """A check cannot be made for a moment after the broker has come back; it never says that anything has changed."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return log.check()
        except Unavailable:
            assert time.monotonic() < end_s
            time.sleep(0.1)


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
