"""The host of the pictures is out of order: events wait for it, and none becomes a dead letter.

The seconds here stand for the minute of the promise: fetches time out after half a second instead of ten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.faults.image_host import ImageHost, image_host
from tests.integration.shop import (
    Shop,
    all_found,
    calls_to,
    drawn,
    eventually,
    http,
    indexed,
    metric,
    published,
    upsert,
)
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.stream.events import ImageRef, LiveUpdate, Upsert
from vitrine.v1 import indexer_pb2

pytestmark = pytest.mark.thorough

OUTAGE_S = 6.0


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    pictures = {f"{number}.jpg": product.pictures[0] for number, product in enumerate(drawn()[:30])}
    with image_host(pictures) as host:
        yield host


@pytest.fixture(scope="module")
def shop(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    options = ("--uri-allow", json.dumps([host.origin]), "--uri-allow-private", "true", "--uri-timeout-s", "0.5")
    folder = tmp_path_factory.mktemp("stack")
    settings = StackSettings(folder, DEFAULT_MODEL, 1, indexer_options=(*options, "--commit-interval-s", "0.1"))
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())


def test_nothing_is_refused_while_the_host_is_out_of_order_and_all_is_in_once_it_is_back(
    shop: Shop, host: ImageHost
) -> None:
    client, indexer = shop.calls.client, shop.stack.addresses["indexer"].http
    indexed(client, published(client, [_at_host(host, number) for number in range(10)]))
    before, offset = all_found(client), _next_offset(shop)

    host.out_of_order = True
    positions = published(client, [_at_host(host, number) for number in range(10, 30)])
    eventually(lambda: _state(shop).startswith(f"waiting: {host.origin} "))
    ended_s = time.monotonic() + OUTAGE_S
    while time.monotonic() < ended_s:
        assert client.refusals() == []
        assert all_found(client) == before
        assert _next_offset(shop) == offset
        assert metric(indexer, "vitrine_indexer_waiting", partition="0") == 1
        time.sleep(0.2)
    assert host.refused > 20, "every picture was asked for more than once"
    assert http(indexer, "/readyz")[0] == 503
    assert host.origin in http(indexer, "/readyz")[1]

    host.out_of_order = False
    indexed(client, positions)
    assert all_found(client) == sorted(_name(number) for number in range(30))
    assert client.refusals() == []
    eventually(lambda: _state(shop) == "running")
    assert metric(indexer, "vitrine_indexer_waiting", partition="0") == 0


def test_prices_go_on_changing_while_the_host_is_out_of_order(shop: Shop, host: ImageHost) -> None:
    client = shop.calls.client
    indexed(client, published(client, [upsert("priced", shop.products[0].pictures[0])]))
    host.out_of_order = True
    try:
        waiting = published(client, [_at_host(host, 0, "held")])
        eventually(lambda: _state(shop).startswith("waiting: "))

        [ack] = client.publish_live([LiveUpdate("priced", {"price": 9.5})])

        assert ack.position is not None
        assert client.product("priced", at_least=[ack.position]).live == {"price": 9.5}
    finally:
        host.out_of_order = False
    indexed(client, waiting)


def _name(number: int) -> str:
    return f"hosted-{number:02d}"


def _at_host(host: ImageHost, number: int, product_id: str = "") -> Upsert:
    return Upsert(product_id or _name(number), (ImageRef("", uri=host.uri(f"{number}.jpg")),), "", {})


def _state(shop: Shop) -> str:
    [partition] = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5).partitions
    return partition.state


def _next_offset(shop: Shop) -> int:
    [partition] = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5).partitions
    return partition.next_offset
