"""The broker is killed while events are read from it, and comes back: none is lost, none is there twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.on_kafka import SESSION_S, kafka_shop
from tests.integration.shop import (
    Shop,
    all_found,
    eventually,
    indexed,
    metric,
    published,
    upsert,
)
from tests.kafka.broker import Broker, missing, running_broker
from vitrine.stream.events import LiveUpdate, Upsert
from vitrine.v1 import indexer_pb2

pytestmark = pytest.mark.thorough

PRODUCTS = 300
TOPIC = "killed"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Of its own: others must not miss it."""
    if reason := missing():
        pytest.skip(reason)
    with running_broker(tmp_path / "kafka") as broker:
        yield broker


@pytest.fixture
def shop(broker: Broker, tmp_path: Path) -> Iterator[Shop]:
    """Reads so few events at a time that a kill comes between two fetches."""
    with kafka_shop(tmp_path / "stack", broker, TOPIC, 2, "--batch-events", "8") as shop:
        yield shop


def test_a_broker_killed_while_it_is_read_costs_no_event_and_repeats_none(shop: Shop, broker: Broker) -> None:
    client, http = shop.calls.client, shop.stack.addresses["indexer"].http
    positions = published(client, events(shop, range(PRODUCTS)))
    prices = [LiveUpdate(name(number), {"price": float(number)}) for number in range(PRODUCTS)]
    eventually(lambda: next_offset(shop) > PRODUCTS // 10)

    broker.kill()
    unread = PRODUCTS - next_offset(shop)
    assert unread > 0, "all had been read before the kill"
    time.sleep(2 * SESSION_S)  # long enough to be taken for dead by a broker that remembers
    # What is indexed is answered all the while, and so is who asks how things are.
    assert len(states(shop)) == 2
    assert client.search(product_id=name(0)).coverage.complete
    broker.start()

    indexed(client, positions)
    later = range(PRODUCTS, PRODUCTS + 20)
    indexed(client, published(client, events(shop, later)))
    live = [ack.position for ack in client.publish_live(prices) if ack.position]
    indexed(client, live)
    assert all_found(client) == [name(number) for number in (*range(PRODUCTS), *later)]
    assert client.product(name(7)).live == {"price": 7.0}
    assert client.refusals() == []
    assert states(shop) == ["running", "running"]
    # Each event was published to the index once: nothing was read again.
    assert metric(http, "vitrine_indexer_events_total", kind="upsert") == PRODUCTS + len(later)
    assert epochs(shop) == [1, 1]


def name(number: int) -> str:
    return f"product-{number:04d}"


def events(shop: Shop, numbers: range) -> list[Upsert]:
    return [upsert(name(number), shop.products[number % len(shop.products)].pictures[0]) for number in numbers]


def next_offset(shop: Shop) -> int:
    """Over both partitions, of what is in the newest manifests."""
    return sum(int(manifest["next_offset"]) for manifest in newest(shop))


def epochs(shop: Shop) -> list[int]:
    return [int(manifest["writer_epoch"]) for manifest in newest(shop)]


def newest(shop: Shop) -> list[dict[str, Any]]:
    partitions = sorted(Path(shop.stack.settings.store_url).glob("default/p*/manifests"))
    return [json.loads(sorted(folder.glob("*.json"))[-1].read_bytes()) for folder in partitions]


def states(shop: Shop) -> list[str]:
    status = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5)
    return [partition.state for partition in status.partitions]
