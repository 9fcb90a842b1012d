"""Which event log a program uses: a file on this machine, or Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from vitrine.runtime.errors import ConfigError
from vitrine.runtime.settings import GrpcSettings
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.kafka.names import DEFAULT_GROUP, DEFAULT_TOPIC
from vitrine.stream.log import EventLog


class StreamSettings(GrpcSettings):
    """What a server that reads or writes the log can be told of it: `stream` or `kafka`, one of the two."""

    stream: Annotated[Path | None, Field(description="SQLite file of the embedded log")] = None
    kafka: Annotated[str, Field(description="host:port of Kafka instead, several separated by commas")] = ""
    kafka_topic: Annotated[str, Field(description="topic of the catalogue; .live, .dlq and .feedback are added")] = (
        DEFAULT_TOPIC
    )
    kafka_options: Annotated[
        dict[str, str], Field(description="security_protocol, sasl_… and ssl_… as kafka-python names them, as JSON")
    ] = {}  # noqa: RUF012  (pydantic copies defaults)
    partitions: Annotated[int, Field(ge=1, le=4096, description="of the log; fixed when it is made")] = 2


def group_of(index: str) -> str:
    """The consumer group of an index's readers, unless they are told another."""
    return f"{DEFAULT_GROUP}-{index}"


@dataclass(frozen=True)
class Membership:
    """A reader's place in a Kafka consumer group. Fields as in KafkaSettings."""

    group: str = DEFAULT_GROUP
    group_instance_id: str = ""
    session_timeout_s: float = 30.0


_NOBODY: Final = Membership()


def open_log(chosen: StreamSettings, member: Membership = _NOBODY) -> EventLog:
    """Blocks. Raises ConfigError naming what is wrong, Unavailable."""
    return open_stream(chosen.stream, chosen.kafka, chosen.partitions, chosen.kafka_topic, chosen.kafka_options, member)


def open_stream(
    stream: Path | None,
    kafka: str,
    partitions: int,
    topic: str = DEFAULT_TOPIC,
    options: dict[str, str] | None = None,
    member: Membership = _NOBODY,
) -> EventLog:
    """The same for commands. Blocks. Raises ConfigError naming what is wrong, Unavailable."""
    if (stream is None) == (not kafka):
        raise ConfigError("stream", "one of `stream` (a file) and `kafka` (host:port) is needed, and not both")
    if stream is not None:
        return EmbeddedLog.open(stream, partitions)
    try:
        from vitrine.stream.kafka.connection import KafkaSettings, quieten
        from vitrine.stream.kafka.log import KafkaLog
    except ModuleNotFoundError as error:
        raise ConfigError("kafka", "needs the extra `kafka`: pip install 'vitrine[kafka]'") from error
    settings = KafkaSettings(
        kafka, topic, member.group, member.group_instance_id, member.session_timeout_s, options or {}
    )
    quieten()
    return KafkaLog.open(settings, partitions)
