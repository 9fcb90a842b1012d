"""Reading the feedback topic from a time on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from kafka import TopicPartition

from vitrine.stream.kafka.connection import KafkaSettings, translated
from vitrine.stream.kafka.records import append_time_us
from vitrine.stream.kafka.scan import reader, scanned
from vitrine.stream.log import FeedbackEntry


def read(settings: KafkaSettings, places: Sequence[TopicPartition], since_us: int) -> Iterator[FeedbackEntry]:
    """As `EventLog.feedback`. Raises Unavailable."""
    for found in scanned(settings, _firsts(settings, places, since_us)):
        if append_time_us(found) >= since_us:
            yield FeedbackEntry((found.key or b"").decode(errors="replace"), found.value or b"")


def _firsts(settings: KafkaSettings, places: Sequence[TopicPartition], since_us: int) -> Mapping[TopicPartition, int]:
    """Where each partition is read from; one that has nothing so new is missing."""
    if since_us <= 0:
        return dict.fromkeys(places, 0)
    with closing(reader(settings, "feedback")) as client, translated("find a time in the feedback topic"):
        client.assign(list(places))
        found = client.offsets_for_times(dict.fromkeys(places, since_us // 1_000))
    return {place: at.offset for place, at in found.items() if at is not None}
