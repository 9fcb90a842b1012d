"""The log on a real Kafka: what is appended is there, its topics are as they must be, and what changed is noticed."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.integration.kafka_topics import (
    PARTITIONS,
    add_partition,
    administration,
    fill,
    in_partition,
    opened,
    own_settings,
    own_topics,
    producer,
    read,
    reading,
    ready,
)
from tests.kafka.broker import Broker
from vitrine.runtime.errors import ConfigError, StreamGap, Unavailable
from vitrine.stream.codec import MAX_RECORD_BYTES
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.log import KafkaLog
from vitrine.stream.kafka.topics import create_topics
from vitrine.stream.log import REPLAYED_OFFSET, DeadLetter, Entry, Later, Position, Record, Source, Stream

SOURCES = [Source(partition, stream) for stream in Stream for partition in range(PARTITIONS)]

IMPORTS = """
from vitrine.runtime.errors import Unavailable
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.log import KafkaLog
"""


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


class TestAppending:
    def test_positions_come_in_the_order_of_the_entries(self, log: KafkaLog) -> None:
        [name] = in_partition(1, 1)

        positions = log.append([Entry(name, b"1"), Entry(name, b"price", Stream.LIVE), Entry(name, None)])

        assert positions == [Position(1, 0), Position(1, 0, Stream.LIVE), Position(1, 1)]

    def test_a_product_is_where_kafkas_own_partitioner_puts_it(self, log: KafkaLog, settings: KafkaSettings) -> None:
        names = [*(f"product-{number}" for number in range(40)), "ß", "靴-1", "👟" * 64]
        with producer(settings) as client:
            theirs = [client.send(settings.topic, b"", name.encode()).get(10).partition for name in names]

        ours = [position.partition for position in log.append([Entry(name, b"") for name in names])]

        assert ours == theirs

    def test_a_record_comes_back_as_it_was_appended(self, log: KafkaLog) -> None:
        headers = (("content-type", b"application/json"), ("twice", b"\xff\x00"), ("twice", b""))
        [position] = log.append([Entry("p", b"{}", headers=headers)])

        with reading(log) as consumer:
            [record] = read(ready(consumer), 1)

        assert record == Record(position, "p", b"{}", record.append_time_us, headers)
        assert abs(record.append_time_us - time.time_ns() // 1_000) < 60 * 1_000_000

    def test_the_biggest_record_there_may_be_fits(self, log: KafkaLog) -> None:
        log.append([Entry("p", bytes(MAX_RECORD_BYTES))])

        with reading(log) as consumer:
            [record] = read(ready(consumer), 1)

        assert record.value == bytes(MAX_RECORD_BYTES)

    def test_a_closed_log_is_unavailable(self, settings: KafkaSettings) -> None:
        with opened(settings) as log:
            pass

        with pytest.raises(Unavailable):
            log.append([Entry("p", b"")])
        with pytest.raises(Unavailable):
            log.end_offsets([Source(0)])
        with pytest.raises(Unavailable):
            log.check()


class TestOffsets:
    def test_empty_topics_end_at_zero(self, log: KafkaLog) -> None:
        assert log.end_offsets(SOURCES) == dict.fromkeys(SOURCES, 0)

    def test_each_stream_has_its_own_end(self, log: KafkaLog) -> None:
        # One stream first: a client that has asked for one topic only takes the other for absent.
        assert log.end_offsets([Source(0)]) == {Source(0): 0}
        fill(log, 0, 3)
        fill(log, 0, 2, Stream.LIVE)

        sources = [Source(0), Source(0, Stream.LIVE)]
        assert log.end_offsets(sources) == dict(zip(sources, [3, 2], strict=True))

    def test_a_partition_that_does_not_exist_is_unavailable(self, log: KafkaLog) -> None:
        with pytest.raises(Unavailable, match="partition=7"):
            log.end_offsets([Source(0), Source(7)])


class TestLaterRecords:
    def test_the_newest_of_the_same_key_and_stream_is_named(self, log: KafkaLog) -> None:
        entries = [Entry("p", b"1"), Entry("p", b"2"), Entry("p", b"3", Stream.LIVE), Entry("p", None)]
        first, _, _, newest = log.append(entries)

        assert log.later_records([Record(first, "p", b"1", 0)]) == {first: Later(newer=newest)}

    def test_a_record_that_is_the_newest_has_none(self, log: KafkaLog) -> None:
        one, other = in_partition(0, 2)
        first, _ = log.append([Entry(one, b""), Entry(other, b"")])

        assert log.later_records([Record(first, one, b"", 0)]) == {}

    def test_several_are_looked_for_at_once(self, log: KafkaLog) -> None:
        [one], [other] = in_partition(0, 1), in_partition(1, 1)
        old = log.append([Entry(one, b""), Entry(other, b"", Stream.LIVE)])
        new = log.append([Entry(one, b""), Entry(other, b"", Stream.LIVE)])

        found = log.later_records([Record(old[0], one, b"", 0), Record(old[1], other, b"", 0)])

        assert found == {first: Later(newer=newest) for first, newest in zip(old, new, strict=True)}

    def test_an_older_event_that_was_published_again_says_nothing_newer(self, log: KafkaLog) -> None:
        old, new = log.append([Entry("p", b"1"), Entry("p", b"2")])
        [again] = log.append([Entry("p", b"1", headers=((REPLAYED_OFFSET, str(old.offset).encode()),))])

        found = log.later_records([Record(old, "p", b"1", 0), Record(new, "p", b"2", 0)])
        assert found == {old: Later(newer=new, again=again)}

    def test_empty_topics_have_none(self, log: KafkaLog) -> None:
        assert log.later_records([Record(Position(0, 0), "p", b"", 0)]) == {}


class TestDeadLetters:
    HEADERS = (("content-type", b"application/json"), ("vitrine.replayed-offset", b"7"))
    CATALOGUE = DeadLetter(Record(Position(1, 3), "p", b"{", 50, HEADERS), "value: is not JSON", False, 100)
    LIVE = DeadLetter(Record(Position(1, 3, Stream.LIVE), "p", None, 50), "attributes: bad", True, 200)

    def test_a_new_topic_has_none(self, log: KafkaLog) -> None:
        assert log.dead_letters() == []

    def test_letters_of_both_streams_come_back_whole_and_oldest_first(self, log: KafkaLog) -> None:
        log.put_dead_letters([self.LIVE, self.CATALOGUE])

        assert log.dead_letters() == [self.CATALOGUE, self.LIVE]

    def test_the_same_letter_twice_is_one(self, log: KafkaLog) -> None:
        for _ in range(2):
            log.put_dead_letters([self.CATALOGUE, self.CATALOGUE])

        assert log.dead_letters() == [self.CATALOGUE]

    def test_other_tools_find_the_headers_they_know(self, log: KafkaLog, settings: KafkaSettings) -> None:
        log.put_dead_letters([self.CATALOGUE])

        as_log = own_as_catalogue(settings)
        with opened(as_log) as letters, reading(letters) as consumer:
            [found] = read(ready(consumer), 1)

        assert {name: value for name, value in found.headers if name.startswith("__connect.errors.")} == {
            "__connect.errors.topic": settings.topic.encode(),
            "__connect.errors.partition": b"1",
            "__connect.errors.offset": b"3",
            "__connect.errors.stage": b"VALUE_CONVERTER",
            "__connect.errors.exception.message": b"value: is not JSON",
        }

    def test_a_record_as_big_as_the_topic_takes_can_be_refused(self, log: KafkaLog) -> None:
        big = self.CATALOGUE._replace(
            record=Record(Position(0, 0), "p", bytes(1024 * 1024), 50), reason="upsert.images: " + "x" * 100_000
        )

        log.put_dead_letters([big])

        assert log.dead_letters() == [big]

    def test_a_key_that_is_no_text_stays_as_it_is(self, log: KafkaLog, settings: KafkaSettings) -> None:
        with producer(settings) as client:
            client.send(settings.topic, b"value", b"shoe-\xff", partition=0).get(10)
        with reading(log) as consumer:
            [record] = read(ready(consumer), 1)

        log.put_dead_letters([DeadLetter(record, "key: is not UTF-8", False, 1)])

        assert record.key == "shoe-\ufffd"
        assert log.dead_letters()[0].record == record

    def test_what_somebody_else_put_there_is_passed_over_with_a_warning(
        self, log: KafkaLog, settings: KafkaSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with producer(settings) as client:
            client.send(settings.dead_letter_topic, b"value", b"key", partition=0).get(10)
            client.send(settings.dead_letter_topic, b"value", None, partition=0).get(10)
        log.put_dead_letters([self.CATALOGUE])

        assert log.dead_letters() == [self.CATALOGUE]
        said = capsys.readouterr()
        assert (said.out + said.err).count("not a dead letter") == 2


class TestTopics:
    def test_they_are_made_with_the_settings_that_a_catalogue_needs(self, settings: KafkaSettings) -> None:
        assert {name: topic_settings(settings, name) for name in (settings.topic, f"{settings.topic}.live")} == {
            name: {
                "cleanup.policy": "compact",
                "delete.retention.ms": str(7 * 24 * 3600 * 1000),
                "message.timestamp.type": "LogAppendTime",
            }
            for name in (settings.topic, f"{settings.topic}.live")
        }

    def test_dead_letters_are_kept_for_ever(self, settings: KafkaSettings) -> None:
        kept = topic_settings(settings, settings.dead_letter_topic, "cleanup.policy", "retention.ms")

        assert kept == {"cleanup.policy": "delete", "retention.ms": "-1"}

    def test_made_a_second_time_they_are_left_as_they_are(self, settings: KafkaSettings) -> None:
        done = create_topics(settings, PARTITIONS, 1)

        assert done == {f"{settings.topic}{suffix}": "exists" for suffix in ("", ".live", ".dlq", ".feedback")}

    def test_only_what_is_absent_is_made(self, settings: KafkaSettings) -> None:
        with administration(settings) as client:
            client.delete_topics([settings.dead_letter_topic])
        done: dict[str, str] = {}
        while "created" not in done.values():  # the broker says it is gone a moment after it has said yes
            done = create_topics(settings, PARTITIONS, 1)

        assert [name for name, what in done.items() if what == "created"] == [settings.dead_letter_topic]

    def test_another_number_of_partitions_is_refused(self, settings: KafkaSettings) -> None:
        with pytest.raises(ConfigError, match="exists with 2, not 3") as caught:
            create_topics(settings, 3, 1)

        assert caught.value.field == "partitions"

    def test_more_copies_than_brokers_are_refused_by_the_setting(self, kafka: Broker) -> None:
        with pytest.raises(ConfigError, match="only 1 broker") as caught:
            create_topics(own_settings(kafka), PARTITIONS, 3)

        assert caught.value.field == "replication_factor"

    def test_a_log_knows_how_long_deletes_are_kept(self, log: KafkaLog) -> None:
        assert log.keeps_deletes_s == 7 * 24 * 3600


class TestOpening:
    def test_missing_topics_name_the_command_that_makes_them(self, kafka: Broker) -> None:
        with pytest.raises(ConfigError, match="vitrine topics create") as caught:
            KafkaLog.open(own_settings(kafka), PARTITIONS)

        assert caught.value.field == "kafka_topic"

    def test_another_number_of_partitions_names_the_setting(self, settings: KafkaSettings) -> None:
        with pytest.raises(ConfigError, match="has 2, the index has 3") as caught:
            KafkaLog.open(settings, 3)

        assert caught.value.field == "partitions"

    def test_where_nobody_answers_it_is_unavailable_in_time(self, unused_tcp_port: int) -> None:
        nobody = KafkaSettings(f"127.0.0.1:{unused_tcp_port}", connect_timeout_s=0.5)
        threads = threading.active_count()
        started_s = time.monotonic()

        with pytest.raises(Unavailable, match="cannot connect"):
            KafkaLog.open(nobody, PARTITIONS)

        assert time.monotonic() - started_s < 3
        assert threading.active_count() == threads

    def test_it_says_why_nobody_answers(self, unused_tcp_port: int) -> None:
        settings = f"KafkaSettings('127.0.0.1:{unused_tcp_port}', connect_timeout_s=0.5)"
        program = f"{IMPORTS}\ntry:\n    KafkaLog.open({settings}, 2)\nexcept Unavailable as error:\n    print(error)"

        # In a process of its own: here nothing of kafka-python's is logged, and what it logs is where the reason is.
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

        assert "ECONNREFUSED" in said


class TestChangesUnderneath:
    def test_the_same_topics_pass(self, log: KafkaLog) -> None:
        log.check()

    def test_added_partitions_are_told(self, log: KafkaLog, settings: KafkaSettings) -> None:
        add_partition(settings)

        with pytest.raises(StreamGap, match="has 3 partitions now, it had 2"):
            noticed(log)

    def test_a_topic_that_is_gone_is_told(self, log: KafkaLog, settings: KafkaSettings) -> None:
        with administration(settings) as client:
            client.delete_topics([f"{settings.topic}.live"])

        with pytest.raises(StreamGap, match="does not exist any more"):
            noticed(log)

    def test_a_topic_made_anew_is_told_and_is_another_log(self, log: KafkaLog, settings: KafkaSettings) -> None:
        with administration(settings) as client:
            client.delete_topics([settings.topic])
        while create_topics(settings, PARTITIONS, 1)[settings.topic] == "exists":
            time.sleep(0.05)

        with pytest.raises(StreamGap, match="made anew"):
            log.check()
        with opened(settings) as again:
            assert again.log_id != log.log_id


def noticed(log: KafkaLog) -> None:
    """Checks until something is told: a broker's answer may be a moment old."""
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s:
        log.check()
        time.sleep(0.05)


def own_as_catalogue(settings: KafkaSettings) -> KafkaSettings:
    """Settings under which the dead letter topic is read as if it were a catalogue."""
    letters = KafkaSettings(settings.servers, topic=settings.dead_letter_topic, group=settings.dead_letter_topic)
    create_topics(letters, PARTITIONS, 1)
    return letters


def topic_settings(settings: KafkaSettings, topic: str, *names: str) -> dict[str, str]:
    from kafka.admin import ConfigResource, ConfigResourceType

    names = names or ("cleanup.policy", "delete.retention.ms", "message.timestamp.type")
    with administration(settings) as client:
        answer = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    [found] = [config for topics in answer.values() for config in topics.values()]
    return {name: found[name]["value"] for name in names}
