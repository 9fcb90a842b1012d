"""The whole stack on an S3 store, whose answers get lost and which goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.shop import (
    ANY_VECTOR,
    Shop,
    all_found,
    calls_to,
    drawn,
    eventually,
    indexed,
    metric,
    published,
    upsert,
)
from tests.s3.proxy import FaultProxy
from tests.s3.server import environment, make_bucket, s3_server
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.stream.events import Delete, Upsert
from vitrine.v1 import gateway_pb2, indexer_pb2
from vitrine.vectors import to_wire

pytestmark = pytest.mark.thorough

PARTITIONS = 2


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    """What the environment of every service names as the S3 endpoint."""
    with s3_server() as s3_port, pytest.MonkeyPatch.context() as patch:
        make_bucket(s3_port, "shop")
        proxy = FaultProxy(s3_port)
        with proxy.listening() as port:
            for name, value in environment(port).items():
                patch.setenv(name, value)
            yield proxy


@pytest.fixture(scope="module")
def shop(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    options = ("--commit-interval-s", "0.1")
    settings = StackSettings(
        tmp_path_factory.mktemp("s3"), DEFAULT_MODEL, PARTITIONS, store="s3://shop/root", indexer_options=options
    )
    with running_stack(settings) as stack, calls_to(stack) as calls:
        yield Shop(stack, calls, drawn())


def test_answers_that_get_lost_lose_and_repeat_nothing(shop: Shop, proxy: FaultProxy) -> None:
    client, events = shop.calls.client, _events(shop, "lost")
    for number in range(4):
        proxy.play("answer lost" if number % 2 else "500 after", "PUT", "/manifests/", times=2)
        proxy.play("answer lost", "PUT", "/shards/", times=2)
        proxy.play("409 before", "PUT", "/manifests/")
        proxy.play("cut short", "GET", "/shards/")
        indexed(client, published(client, events[4 * number : 4 * number + 4]))

    assert [product_id for product_id in all_found(client) if product_id.startswith("lost")] == _ids(events)


def test_a_roll_goes_through_the_store_and_comes_back(shop: Shop) -> None:
    client, events = shop.calls.client, _events(shop, "rolled")
    indexed(client, published(client, events))

    shop.calls.indexer.Roll(indexer_pb2.RollRequest(), timeout=60)

    eventually(lambda: {shard.kind for part in client.status().partitions for shard in part.shards} == {"rolled"})
    assert set(_ids(events)) <= set(all_found(client))


def test_while_the_store_is_away_searches_are_answered_and_what_changes_is_found_afterwards(
    shop: Shop, proxy: FaultProxy
) -> None:
    client, events = shop.calls.client, _events(shop, "before")
    indexed(client, published(client, events))
    with away(proxy):
        eventually(lambda: proxy.refused > 10)
        positions = published(client, [Delete("before-00")])
        assert set(_ids(events)) <= set(all_found(client))
    indexed(client, positions)
    assert [product_id for product_id in all_found(client) if product_id.startswith("before")] == _ids(events)[1:]


def test_a_searcher_that_starts_while_the_store_is_away_serves_what_it_had(shop: Shop, proxy: FaultProxy) -> None:
    client, searcher = shop.calls.client, shop.stack.addresses["searcher"].http
    found = all_found(client)
    with away(proxy):
        shop.stack.kill("searcher")
        shop.stack.watch()
        eventually(lambda: _complete(shop))
        assert all_found(client) == found
        assert metric(searcher, "vitrine_searcher_from_cache") == PARTITIONS
    eventually(lambda: metric(searcher, "vitrine_searcher_from_cache") == 0)
    indexed(client, published(client, _events(shop, "again")))
    assert metric(searcher, "vitrine_searcher_store_requests_total", operation="get") > 0
    assert metric(searcher, "vitrine_searcher_cache_bytes") > 0


@contextmanager
def away(proxy: FaultProxy) -> Iterator[None]:
    proxy.away, proxy.refused = True, 0
    try:
        yield
    finally:
        proxy.away = False


def _complete(shop: Shop) -> bool:
    request = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR))
    return bool(shop.calls.search.Search(request, timeout=5).coverage.partitions_answered == PARTITIONS)


def _events(shop: Shop, prefix: str) -> list[Upsert]:
    return [upsert(f"{prefix}-{number:02}", shop.products[number].pictures[0]) for number in range(16)]


def _ids(events: list[Upsert]) -> list[str]:
    return [event.product_id for event in events]
