"""The feedback topic keeps the same promises in a file and on Kafka."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrine.runtime.errors import ConfigError, Unavailable
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.log import EventLog, FeedbackEntry, Source, Stream

PARTITIONS = 2


@pytest.fixture(params=["embedded", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    if request.param == "embedded":
        embedded = EmbeddedLog.open(tmp_path / "log.sqlite", PARTITIONS)
        yield embedded
        embedded.close()
        return
    # Here, where the other log is tested without it too.
    from tests.integration.kafka_topics import opened, own_topics

    with opened(own_topics(request.getfixturevalue("kafka"))) as on_kafka:
        yield on_kafka
    gc.collect()  # sockets that kafka-python leaves behind


def entries(count: int, keys: int = 5) -> list[FeedbackEntry]:
    return [FeedbackEntry(f"query-{number % keys}", b"%d" % number) for number in range(count)]


def test_a_new_log_has_none(log: EventLog) -> None:
    assert list(log.feedback()) == []


def test_all_of_it_is_read_and_of_each_key_in_order(log: EventLog) -> None:
    written = entries(40)
    for begin in range(0, 40, 10):
        log.append_feedback(written[begin : begin + 10])

    found = list(log.feedback())

    assert sorted(found) == sorted(written)
    for key in {entry.key for entry in written}:
        assert [entry for entry in found if entry.key == key] == [entry for entry in written if entry.key == key]


def test_it_is_read_from_a_time_on(log: EventLog) -> None:
    log.append_feedback(entries(10))
    time.sleep(0.05)
    since_us = time.time_ns() // 1_000
    time.sleep(0.05)
    later = [FeedbackEntry("query-1", b"later")]
    log.append_feedback(later)

    assert list(log.feedback(since_us)) == later
    assert list(log.feedback(since_us + 3600 * 1_000_000)) == []


def test_appending_nothing_is_no_trouble(log: EventLog) -> None:
    log.append_feedback([])

    assert list(log.feedback()) == []


def test_feedback_is_no_event_of_the_catalogue(log: EventLog) -> None:
    log.append_feedback(entries(3))

    sources = [Source(partition, stream) for stream in Stream for partition in range(PARTITIONS)]
    assert set(log.end_offsets(sources).values()) == {0}
    assert log.dead_letters() == []


def test_the_biggest_impression_fits(log: EventLog) -> None:
    # 200 product ids of 256 bytes, and what is around them.
    big = FeedbackEntry("query", bytes(60_000))
    log.append_feedback([big])

    assert list(log.feedback()) == [big]


def test_more_than_one_page_of_it_comes_back(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite", PARTITIONS)
    written = entries(12_345)
    log.append_feedback(written)

    assert list(log.feedback()) == written
    log.close()


def test_what_was_acknowledged_outlives_the_process(tmp_path: Path) -> None:
    first = EmbeddedLog.open(tmp_path / "log.sqlite", PARTITIONS)
    first.append_feedback(entries(3))
    other = EmbeddedLog.open(tmp_path / "log.sqlite", PARTITIONS)

    assert list(other.feedback()) == entries(3)
    first.close()
    other.close()


def test_a_closed_log_is_unavailable(log: EventLog) -> None:
    log.append_feedback(entries(1))
    log.close()

    with pytest.raises(Unavailable):
        log.append_feedback(entries(1))


def test_a_missing_topic_names_the_command_that_makes_it(request: pytest.FixtureRequest) -> None:
    from tests.integration.kafka_topics import administration, opened, own_topics

    settings = own_topics(request.getfixturevalue("kafka"))
    with administration(settings) as client:
        client.delete_topics([settings.feedback_topic])
        while settings.feedback_topic in client.list_topics():  # gone a moment after the broker has said yes
            time.sleep(0.05)

    with opened(settings) as log, pytest.raises(ConfigError, match="vitrine topics create"):
        log.append_feedback(entries(1))
