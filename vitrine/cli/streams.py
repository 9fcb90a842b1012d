"""Which log a command reads or writes: the file of a `vitrine up`, or Kafka."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.stack import STREAM_FILE, StackSettings
from vitrine.runtime.errors import ConfigError
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.log import EventLog, Stream
from vitrine.stream.opening import open_stream

if TYPE_CHECKING:
    from vitrine.stream.kafka.connection import KafkaSettings

Kafka = Annotated[str, typer.Option("--kafka", help="host:port of Kafka, several separated by commas")]
KafkaTopic = Annotated[str, typer.Option(help="topic of the catalogue; .live, .dlq and .feedback are added")]
KafkaOptions = Annotated[
    str,
    typer.Option(
        envvar="VITRINE_KAFKA_OPTIONS",
        help="security_protocol, sasl_… and ssl_… as kafka-python names them, as JSON; passwords are safer in the "
        "variable than on a command line, which others see",
    ),
]


def options_of(text: str) -> dict[str, str]:
    """Options given as a JSON object of strings. Raises ConfigError (`kafka_options`)."""
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError("kafka_options", f"is not JSON ({error})") from error
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise ConfigError("kafka_options", "is not a JSON object whose values are strings")
    return options


def kafka_settings(servers: str, topic: str, options: str) -> KafkaSettings:
    """Checked. Raises ConfigError (`kafka…`), also where the extra is not installed."""
    try:
        from vitrine.stream.kafka.connection import KafkaSettings, quieten
    except ModuleNotFoundError as error:
        raise ConfigError("kafka", "needs the extra `kafka`: pip install 'vitrine[kafka]'") from error
    quieten()
    return KafkaSettings(servers, topic, options=options_of(options))


def topic_partitions(settings: KafkaSettings) -> int:
    """How many the catalogue's topic has. Raises ConfigError (`kafka_topic`) if there is none, Unavailable."""
    from vitrine.stream.kafka.topics import administration, described

    name = settings.topic_of(Stream.CATALOGUE)
    with administration(settings) as client:
        found = described(client, [name]).get(name)
    if found is None:
        raise ConfigError("kafka_topic", f"there is no topic {name}: see `vitrine topics create`")
    return found.partitions


def on_kafka(
    stack: StackSettings, servers: str, topic: str, options: str, group: str, partitions: int
) -> StackSettings:
    """The same stack with its log on Kafka. `partitions` 0: as many as the topic has. `group` empty: one of its own.

    Raises ConfigError, Unavailable.
    """
    settings = kafka_settings(servers, topic, options)
    chosen = ("--kafka", servers, "--kafka-topic", topic, *(("--kafka-options", options) if options else ()))
    return replace(
        stack,
        partitions=partitions or topic_partitions(settings),
        stream_options=chosen,
        indexer_options=(*stack.indexer_options, "--kafka-group", group or _own_group(stack)),
    )


@contextmanager
def borrowed_topics(servers: str, options: str, partitions: int) -> Iterator[str]:
    """Topics of a random name, deleted at the end. Raises ConfigError, Unavailable."""
    settings = kafka_settings(servers, f"vitrine-demo-{secrets.token_hex(4)}", options)
    from vitrine.stream.kafka.topics import create_topics, delete_topics

    create_topics(settings, partitions, replication_factor=1)
    try:
        yield settings.topic
    finally:
        delete_topics(settings)


def _own_group(stack: StackSettings) -> str:
    """Named after the index: of two indexes in one group, each would be given only a part of the catalogue."""
    place = stack.store or f"{socket.gethostname()} {stack.folder.resolve()}"
    return f"vitrine-up-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


@contextmanager
def existing_log(folder: Path, kafka: str, topic: str, options: str) -> Iterator[EventLog]:
    """The log in `folder`, or the one on Kafka if that is named. Raises ConfigError, Unavailable."""
    if kafka:
        settings = kafka_settings(kafka, topic, options)
        partitions = topic_partitions(settings)
        log = open_stream(None, kafka, partitions, topic, dict(settings.options))
    else:
        log = EmbeddedLog.open_existing(folder / STREAM_FILE)
    with closing(log):
        yield log
