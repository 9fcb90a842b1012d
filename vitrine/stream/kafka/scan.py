"""Reading stretches of topics from begin to end, outside any group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from vitrine.runtime.errors import Unavailable
from vitrine.stream.kafka.connection import KafkaSettings, connected, translated
from vitrine.stream.kafka.mending import take_up_laid_aside

_POLL_MS: Final = 1_000
_STALLED_S: Final = 20.0


def reader(settings: KafkaSettings, name: str) -> KafkaConsumer:
    """A consumer outside any group. What retention has removed meanwhile, it passes over."""
    return connected(
        KafkaConsumer,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        **settings.consumer_options(name),
    )


def scanned(settings: KafkaSettings, firsts: Mapping[TopicPartition, int]) -> Iterator[Any]:
    """Every record from the given offsets to where each partition ends now, as ConsumerRecord, in order of each.

    Raises Unavailable.
    """
    places = list(firsts)
    if not places:
        return
    with closing(reader(settings, "scanner")) as client, translated("read topics"):
        client.assign(places)
        ends, begins = _offsets(client, places)
        for place in places:
            client.seek(place, max(firsts[place], begins[place]))
        progress_s = time.monotonic()
        while unread := [place for place in places if (client.position(place, timeout_ms=_POLL_MS) or 0) < ends[place]]:
            client.pause(*(set(places) - set(unread)))
            take_up_laid_aside(client)
            for batch in client.poll(timeout_ms=_POLL_MS).values():
                progress_s = time.monotonic()
                yield from batch
            if time.monotonic() > progress_s + _STALLED_S:
                raise Unavailable(f"kafka: {unread[0].topic} cannot be read to its end")


def _offsets(client: KafkaConsumer, places: list[TopicPartition]) -> tuple[dict[Any, int], dict[Any, int]]:
    try:
        return client.end_offsets(places), client.beginning_offsets(places)
    except KeyError as error:  # how kafka-python says that a partition has no leader
        raise Unavailable(f"kafka: {error.args[0]} cannot be reached") from error
