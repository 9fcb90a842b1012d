"""A stack whose log is on Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.shop import Shop, calls_to, drawn
from tests.kafka.broker import Broker
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack

# Warnings are errors here, and kafka-python gives some where it is first imported: importorskip lets them pass.
pytest.importorskip("kafka", reason="needs the extra `kafka`")

from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.kafka.topics import create_topics

# The least that the broker takes is one second.
SESSION_S: Final = 2.0


def stream_options(broker: Broker, topic: str) -> tuple[str, ...]:
    return ("--kafka", broker.address, "--kafka-topic", topic)


def indexer_options(topic: str, *more: str) -> tuple[str, ...]:
    """Of every indexer of the stack: one group, a short session."""
    group = ("--kafka-group", topic, "--kafka-session-timeout-s", str(SESSION_S))
    return (*group, "--commit-interval-s", "0.1", *more)


@contextmanager
def kafka_shop(folder: Path, broker: Broker, topic: str, partitions: int = 2, *options: str) -> Iterator[Shop]:
    """A stack on new topics. `options`: of the indexer."""
    create_topics(KafkaSettings(broker.address, topic), partitions, replication_factor=1)
    settings = StackSettings(
        folder,
        DEFAULT_MODEL,
        partitions=partitions,
        stream_options=stream_options(broker, topic),
        indexer_options=indexer_options(topic, *options),
    )
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())
