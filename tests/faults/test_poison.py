"""Events that can never be indexed do not stop the stream: each is put aside with its reason, the rest goes in."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from google.protobuf import json_format

from tests.faults.image_host import ImageHost, image_host
from tests.faults.on_kafka import kafka_shop
from tests.integration.hostile import pictures as hostile_pictures
from tests.integration.shop import Shop, all_found, drawn, eventually, indexed, metric
from tests.kafka.broker import Broker
from vitrine.images import MAX_BYTES
from vitrine.stream.codec import MAX_STRING_BYTES, encode, to_message
from vitrine.stream.events import ImageRef, Upsert
from vitrine.stream.log import Position, Stream
from vitrine.stream.partitioning import partition_of

kafka_python = pytest.importorskip("kafka", reason="needs the extra `kafka`")

TOPIC: Final = "poison"
PARTITIONS: Final = 2
EVENTS: Final = 200
KINDS: Final = {
    "undecodable protobuf": "value: is not a CatalogueEvent",
    "bad JSON": "value: is not a CatalogueEvent in JSON",
    "another product's key": "product_id: ",
    "wrong partition": "key: belongs into partition",
    "bad image": "image '0': ",
    "another sha256": "sha256: is ",
    "gone from its host": "answered 404",
    "too large": "has more than",
    "from the future": "event_time: is ",
    "attribute too long": "upsert.attributes['note']: has",
}
POISON: Final = 2 * len(KINDS)


class Sent(NamedTuple):
    """What a plain producer sends. `kind`: of poison; empty: it is sound."""

    key: str
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int
    kind: str


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host({"good.jpg": drawn()[0].pictures[0], "huge.jpg": bytes(MAX_BYTES + 1)}) as host:
        yield host


@pytest.fixture
def shop(kafka: Broker, host: ImageHost, tmp_path: Path) -> Iterator[Shop]:
    uris = ("--uri-allow", json.dumps([host.origin]), "--uri-allow-private", "true")
    with kafka_shop(tmp_path / "stack", kafka, TOPIC, PARTITIONS, *uris) as shop:
        yield shop


@pytest.mark.parametrize("seed", [0])
def test_of_two_hundred_events_with_twenty_that_are_poison_the_sound_ones_are_indexed(
    shop: Shop, kafka: Broker, host: ImageHost, seed: int
) -> None:
    events = mixed(host, random.Random(seed))
    assert (len(events), sum(bool(event.kind) for event in events)) == (EVENTS, POISON)

    places = send(kafka, events)

    indexed(shop.calls.client, places)
    sound = sorted(event.key for event in events if not event.kind)
    assert all_found(shop.calls.client) == sound
    letters = dead_letters(kafka)
    poison = {place: event for place, event in zip(places, events, strict=True) if event.kind}
    assert {place_of(letter) for letter in letters} == poison.keys()
    assert len(letters) == POISON, "none of them twice"
    for letter in letters:
        event = poison[place_of(letter)]
        assert (letter.key, letter.value) == (event.key.encode(), event.value)
        headers = dict(letter.headers)
        assert set(event.headers) <= set(letter.headers)
        assert headers["__connect.errors.topic"] == TOPIC.encode()
        assert headers["__connect.errors.stage"]
        assert KINDS[event.kind] in headers["__connect.errors.exception.message"].decode(), event.kind
    # The same letters by our own call, and as a number to alert on.
    assert {refusal.position for refusal in shop.calls.client.refusals()} == poison.keys()
    assert metric(shop.stack.addresses["indexer"].http, "vitrine_indexer_dead_letters_total") == POISON
    eventually(lambda: metric(shop.stack.addresses["indexer"].http, "vitrine_indexer_partition_running") == PARTITIONS)


def mixed(host: ImageHost, random: random.Random) -> list[Sent]:
    """Sound events, in protobuf and in JSON, with two of each kind of poison scattered among them."""
    kinds = [*(kind for kind in KINDS for _ in range(2)), *([""] * (EVENTS - POISON))]
    random.shuffle(kinds)
    return [sent(host, f"event-{number:03d}", kind, number) for number, kind in enumerate(kinds)]


def sent(host: ImageHost, key: str, kind: str, number: int) -> Sent:
    picture = drawn()[number % len(drawn())].pictures[0]
    image, attributes, event_time_us = ImageRef("", data=picture), {}, None
    match kind:
        case "bad image":
            image = ImageRef("", data=hostile_pictures()["truncated"])
        case "another sha256":
            image = ImageRef("", data=picture, sha256=hashlib.sha256(b"other").digest())
        case "gone from its host":
            image = ImageRef("", uri=host.uri("gone.jpg"))
        case "too large":
            image = ImageRef("", uri=host.uri("huge.jpg"))
        case "" if number % 10 == 0:
            image = ImageRef("", uri=host.uri("good.jpg"))
        case "attribute too long":
            attributes = {"note": "x" * (MAX_STRING_BYTES + 1)}
        case "from the future":
            event_time_us = (int(time.time()) + 7200) * 1_000_000
    event = Upsert("another" if kind == "another product's key" else key, (image,), "", attributes, event_time_us)
    in_json = number % 3 == 0 or kind == "bad JSON"
    value = json_format.MessageToJson(to_message(event)).encode() if in_json else encode(event)
    if kind == "undecodable protobuf":
        value, in_json = b"\xff\xff" + value[:40], False
    elif kind == "bad JSON":
        value = value[: len(value) // 2]
    home = partition_of(key, PARTITIONS)
    return Sent(
        key,
        value,
        [("content-type", b"application/json"), ("trace", b"%d" % number)] if in_json else [("trace", b"%d" % number)],
        (home + 1) % PARTITIONS if kind == "wrong partition" else home,
        kind,
    )


def send(broker: Broker, events: list[Sent]) -> list[Position]:
    """Where each stands in the log: put there by a client that knows nothing of us."""
    producer = kafka_client("KafkaProducer", broker)
    try:
        futures = [
            producer.send(TOPIC, event.value, event.key.encode(), event.headers, event.partition) for event in events
        ]
        return [
            Position(event.partition, future.get(timeout=20).offset)
            for event, future in zip(events, futures, strict=True)
        ]
    finally:
        producer.close()


def dead_letters(broker: Broker) -> list[Any]:
    """Every record of the dead letter topic."""
    consumer = kafka_client("KafkaConsumer", broker, auto_offset_reset="earliest")
    try:
        places = [kafka_python.TopicPartition(f"{TOPIC}.dlq", number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        found: list[Any] = []
        while len(found) < sum(ends.values()):
            found += [record for batch in consumer.poll(timeout_ms=1000).values() for record in batch]
        return found
    finally:
        consumer.close()


def kafka_client(kind: str, broker: Broker, **options: Any) -> Any:
    return getattr(kafka_python, kind)(bootstrap_servers=[broker.address], **options)


def place_of(letter: Any) -> Position:
    headers = dict(letter.headers)
    partition, offset = (int(headers[f"__connect.errors.{name}"]) for name in ("partition", "offset"))
    return Position(partition, offset, Stream.CATALOGUE)
