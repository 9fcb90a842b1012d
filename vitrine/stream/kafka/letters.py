"""Dead letters ↔ records of the dead letter topic: key and value as they were, the rest in headers.

Headers are named as Kafka Connect names them (org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter), so that
tools for its dead letter queues show these too.
"""

from __future__ import annotations

from typing import Any, Final

from vitrine.runtime.errors import InvalidArgument
from vitrine.stream.kafka import records
from vitrine.stream.kafka.connection import KafkaSettings
from vitrine.stream.log import DeadLetter, Headers, Position

_PREFIX: Final = "__connect.errors."
_TOPIC: Final = f"{_PREFIX}topic"
_PARTITION: Final = f"{_PREFIX}partition"
_OFFSET: Final = f"{_PREFIX}offset"
_STAGE: Final = f"{_PREFIX}stage"
_REASON: Final = f"{_PREFIX}exception.message"
_APPEND_TIME: Final = "vitrine.append-time-us"
_PARTLY: Final = "vitrine.partly-indexed"
_TIME: Final = "vitrine.refused-us"
_OURS: Final = (_TOPIC, _PARTITION, _OFFSET, _STAGE, _REASON, _APPEND_TIME, _PARTLY, _TIME)


def headers_of(letter: DeadLetter, settings: KafkaSettings) -> Headers:
    """The record's own headers, and why and where it was refused."""
    partition, offset, stream = letter.record.position
    said = {
        _TOPIC: settings.topic_of(stream),
        _PARTITION: str(partition),
        _OFFSET: str(offset),
        _STAGE: "VALUE_CONVERTER" if not letter.partly_indexed else "TRANSFORMATION",
        _REASON: letter.reason,
        _APPEND_TIME: str(letter.record.append_time_us),
        _PARTLY: str(int(letter.partly_indexed)),
        _TIME: str(letter.time_us),
    }
    return (*records.own_headers(letter.record), *((name, text.encode()) for name, text in said.items()))


def letter_of(found: Any, settings: KafkaSettings) -> DeadLetter:
    """The letter in a ConsumerRecord. Raises InvalidArgument for a record that somebody else put there."""
    headers = records.headers_of(found)
    said = dict(headers)
    try:
        stream = settings.stream_of(said[_TOPIC].decode())
        position = Position(int(said[_PARTITION]), int(said[_OFFSET]), stream)
        own = tuple((name, value) for name, value in headers if name not in _OURS)
        record = records.record_of(found, position, int(said[_APPEND_TIME]), own)
        return DeadLetter(record, said[_REASON].decode(), said[_PARTLY] == b"1", int(said[_TIME]))
    except (KeyError, ValueError) as error:
        raise InvalidArgument("headers", f"are not those of a dead letter ({error!r})") from error
