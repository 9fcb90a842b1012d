"""The topics of a catalogue: made with the right settings, and looked at to see that they are still the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType

from vitrine.runtime.errors import ConfigError, Unavailable
from vitrine.stream.kafka.connection import KafkaSettings, connected, translated
from vitrine.stream.log import Stream

# Deletes stay readable for a week: an index that falls further behind must not go on, it may have missed some.
DELETE_RETENTION_MS: Final = 7 * 24 * 3600 * 1000
_FOREVER_MS: Final = -1
_FEEDBACK_RETENTION_MS: Final = 90 * 24 * 3600 * 1000
# A record is at most 900 KB.
_MAX_MESSAGE_BYTES: Final = 1024 * 1024
# A dead letter adds its reason and headers: whatever can be read can be refused.
MAX_LETTER_BYTES: Final = 2 * _MAX_MESSAGE_BYTES

_COMPACTED: Final = {
    "cleanup.policy": "compact",
    "delete.retention.ms": str(DELETE_RETENTION_MS),
    # The log's clock, not each producer's: retention and freshness are counted from it.
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(_MAX_MESSAGE_BYTES),
}
_DEAD_LETTERS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(_FOREVER_MS),
    "max.message.bytes": str(MAX_LETTER_BYTES),
}
_FEEDBACK: Final = {"cleanup.policy": "delete", "retention.ms": str(_FEEDBACK_RETENTION_MS)}


class Topic(NamedTuple):
    """`topic_id` changes when a topic is deleted and made again under its name."""

    name: str
    topic_id: str
    partitions: int


@contextmanager
def administration(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """Raises ConfigError, Unavailable."""
    client = connected(KafkaAdminClient, **settings.client_options("admin"))
    try:
        yield client
    finally:
        client.close()


def create_topics(settings: KafkaSettings, partitions: int, replication_factor: int) -> dict[str, str]:
    """Makes what is absent of the four topics. Returns what was done to each: "created" or "exists".

    Raises ConfigError (`partitions`) if one exists with another number of partitions, ConfigError
    (`replication_factor`, `kafka…`) if the cluster refuses, Unavailable.
    """
    wanted = configs_of(settings)
    with administration(settings) as client, translated("create topics"):
        there = described(client, wanted)
        for name, topic in there.items():
            if topic.partitions != partitions:
                raise ConfigError("partitions", f"topic {name} exists with {topic.partitions}, not {partitions}")
        absent = [name for name in wanted if name not in there]
        if absent:
            _create(client, {name: wanted[name] for name in absent}, partitions, replication_factor)
    return {name: "created" if name in absent else "exists" for name in wanted}


def configs_of(settings: KafkaSettings) -> dict[str, Mapping[str, str]]:
    """The four topics' names, and what each is made with."""
    return {
        settings.topic_of(Stream.CATALOGUE): _COMPACTED,
        settings.topic_of(Stream.LIVE): _COMPACTED,
        settings.dead_letter_topic: _DEAD_LETTERS,
        settings.feedback_topic: _FEEDBACK,
    }


def delete_topics(settings: KafkaSettings) -> None:
    """Removes the four topics, those that are there, with all that is in them. Raises ConfigError, Unavailable."""
    with administration(settings) as client, translated("delete topics"):
        if there := list(described(client, configs_of(settings))):
            client.delete_topics(there)


def _create(
    client: KafkaAdminClient, configs: Mapping[str, Mapping[str, str]], partitions: int, replication_factor: int
) -> None:
    new = {
        name: {"num_partitions": partitions, "replication_factor": replication_factor, "configs": settings}
        for name, settings in configs.items()
    }
    # Asked not to raise: its error is the whole request and answer in one line.
    answer = client.create_topics(new, raise_errors=False)
    for topic in answer["topics"]:
        kind = errors.for_code(topic["error_code"])
        if kind is not errors.NoError:
            raise kind(f"{topic['name']}: {topic['error_message'] or kind.__name__}")
    client.wait_for_topics(list(new))


def described(client: KafkaAdminClient, names: Iterable[str]) -> dict[str, Topic]:
    """The topics as they are now; one that does not exist is missing. Raises ConfigError (`kafka`), Unavailable."""
    with translated("describe topics"):
        found: list[dict[str, Any]] = client.describe_topics(list(names))
        for topic in found:
            kind = errors.for_code(topic["error_code"])
            # A partition may be without a leader for a moment: the topic is there all the same.
            if not topic["partitions"] and kind is not errors.UnknownTopicOrPartitionError:
                raise kind(topic["name"])
    return {
        topic["name"]: Topic(topic["name"], str(topic["topic_id"]), len(topic["partitions"]))
        for topic in found
        if topic["partitions"]
    }


def delete_retention_s(client: KafkaAdminClient, settings: KafkaSettings) -> float | None:
    """For how long the catalogue topics keep deletes; None if they are not compacted, so that none goes early.

    Raises Unavailable.
    """
    resources = [ConfigResource(ConfigResourceType.TOPIC, settings.topic_of(stream)) for stream in Stream]
    with translated("read the settings of topics"):
        answer = client.describe_configs(resources, config_filter="all")
    configs = [config for topics in answer.values() for config in topics.values()]
    try:
        kept = [
            float(config["delete.retention.ms"]["value"]) / 1000
            for config in configs
            if "compact" in config["cleanup.policy"]["value"]
        ]
    except KeyError as error:
        raise Unavailable(f"kafka: the cluster does not say {error} of {settings.topic}") from error
    return min(kept, default=None)
