"""Topics of a test's own on the shared broker, and members that read them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import pytest

# Warnings are errors here, and importing kafka-python 3.0.12 gives some: importorskip lets them pass.
KAFKA = pytest.importorskip("kafka", reason="needs the extra `kafka`")

from tests.kafka.broker import Broker  # noqa: E402
from vitrine.stream.kafka.connection import KafkaSettings  # noqa: E402
from vitrine.stream.kafka.consumer import GroupConsumer  # noqa: E402
from vitrine.stream.kafka.log import KafkaLog  # noqa: E402
from vitrine.stream.kafka.topics import create_topics  # noqa: E402
from vitrine.stream.log import Entry, Position, Record, Source, Stream  # noqa: E402
from vitrine.stream.partitioning import partition_of  # noqa: E402

PARTITIONS = 2
PATIENCE_S = 20.0


def own_settings(broker: Broker, **fields: Any) -> KafkaSettings:
    """Names that no other test has; sessions as short as the broker permits."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    return KafkaSettings(broker.address, **{"topic": name, "group": name, "session_timeout_s": 1.5, **fields})


def own_topics(broker: Broker, **fields: Any) -> KafkaSettings:
    settings = own_settings(broker, **fields)
    create_topics(settings, PARTITIONS, 1)
    return settings


@contextmanager
def opened(settings: KafkaSettings) -> Iterator[KafkaLog]:
    with ExitStack() as closing:
        log = KafkaLog.open(settings, PARTITIONS)
        closing.callback(log.close)
        yield log


@contextmanager
def reading(log: KafkaLog) -> Iterator[GroupConsumer]:
    with ExitStack() as closing:
        consumer = log.consumer()
        closing.callback(consumer.close)
        yield consumer


@contextmanager
def administration(settings: KafkaSettings) -> Iterator[Any]:
    with ExitStack() as closing:
        client = KAFKA.KafkaAdminClient(bootstrap_servers=settings.servers)
        closing.callback(client.close)
        yield client


@contextmanager
def producer(settings: KafkaSettings, **options: Any) -> Iterator[Any]:
    """A client as a catalogue team would have one."""
    with ExitStack() as closing:
        client = KAFKA.KafkaProducer(bootstrap_servers=settings.servers, **options)
        closing.callback(client.close)
        yield client


def in_partition(partition: int, count: int) -> list[str]:
    """`count` product ids of one partition."""
    names = (f"product-{number}" for number in range(1_000_000))
    return list(islice((name for name in names if partition_of(name, PARTITIONS) == partition), count))


def fill(log: KafkaLog, partition: int, count: int, stream: Stream = Stream.CATALOGUE) -> list[Position]:
    return log.append([Entry(name, name.encode(), stream) for name in in_partition(partition, count)])


def settle(consumers: Iterable[GroupConsumer], *shares: int) -> None:
    """Polls all of them until they hold as many partitions each, in any order, as `shares` says."""
    members = list(consumers)
    end_s = time.monotonic() + PATIENCE_S
    while sorted(len(member.assigned()) for member in members) != sorted(shares):
        assert time.monotonic() < end_s, [dict(member.assigned()) for member in members]
        for member in members:
            assert member.poll(100, 0.05) == [], "records came before anybody said from where"


def seek_all(consumer: GroupConsumer, offset: int = 0) -> None:
    for partition in consumer.assigned():
        for stream in Stream:
            consumer.seek(Position(partition, offset, stream))


def ready(consumer: GroupConsumer) -> GroupConsumer:
    """A sole member, told to read everything from the begin."""
    settle([consumer], PARTITIONS)
    seek_all(consumer)
    return consumer


def read(consumer: GroupConsumer, count: int, paused: tuple[Source, ...] = ()) -> list[Record]:
    """The next `count` records and whatever comes with them."""
    records: list[Record] = []
    end_s = time.monotonic() + PATIENCE_S
    while len(records) < count:
        assert time.monotonic() < end_s, f"{len(records)} of {count} records came"
        records += consumer.poll(1_000, 0.2, paused)
    return records


def offsets(records: Iterable[Record], source: Source) -> list[int]:
    return [record.position.offset for record in records if record.source == source]


def add_partition(settings: KafkaSettings) -> None:
    with administration(settings) as client:
        client.create_partitions({settings.topic: PARTITIONS + 1})


def remove_before(settings: KafkaSettings, position: Position) -> None:
    """As retention does on topics that are not compacted only."""
    from kafka.admin import ConfigResource, ConfigResourceType

    topic = settings.topic_of(position.stream)
    policy = {"cleanup.policy": "compact,delete"}
    with administration(settings) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=policy)])
        client.delete_records({KAFKA.TopicPartition(topic, position.partition): position.offset})
