"""A service that is away: the others say so, go on with what they can, and recover by themselves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.shop import (
    ANY_VECTOR,
    Shop,
    all_found,
    calls_to,
    drawn,
    eventually,
    http,
    indexed,
    metric,
    published,
    refused,
    upsert,
)
from vitrine import sample
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import StackSettings, running_stack
from vitrine.v1 import gateway_pb2, indexer_pb2
from vitrine.vectors import to_wire

SEARCH_BY_VECTOR = gateway_pb2.SearchRequest(vector=to_wire(ANY_VECTOR))


@pytest.fixture(scope="module", autouse=True)
def stock(shop: Shop) -> list[str]:
    """Product ids that are there before anything is away."""
    products = shop.products[:10]
    indexed(shop.calls.client, published(shop.calls.client, [product.upsert() for product in products]))
    return [product.product_id for product in products]


def test_without_a_searcher_the_gateway_says_which_partitions_are_missing(shop: Shop, stock: list[str]) -> None:
    gateway = shop.stack.addresses["gateway"]
    shop.stack.kill("searcher")
    eventually(lambda: http(gateway.http, "/readyz")[0] == 503)
    with refused("UNAVAILABLE", "partition 0", "partition 1"):
        shop.calls.search.Search(SEARCH_BY_VECTOR, timeout=5)
    with refused("UNAVAILABLE", "partition"):
        shop.calls.search.GetProduct(gateway_pb2.GetProductRequest(product_id=stock[0]), timeout=5)
    coverage = shop.calls.client.status().coverage
    assert (coverage.partitions_answered, len(coverage.failures)) == (0, 2)
    assert http(gateway.http, "/livez")[0] == 200
    assert metric(gateway.http, "vitrine_gateway_partial_answers_total") > 0

    shop.stack.watch()
    eventually(lambda: http(gateway.http, "/readyz")[0] == 200)
    assert set(stock) <= set(all_found(shop.calls.client))


def test_without_an_embedder_nothing_is_lost_and_other_searches_go_on(shop: Shop, stock: list[str]) -> None:
    client, indexer = shop.calls.client, shop.stack.addresses["indexer"].http
    shop.stack.kill("embedder")
    new = [upsert(f"embedder-{number}", shop.products[number].pictures[0]) for number in range(20)]
    positions = published(client, new)
    eventually(lambda: all(state.startswith("waiting: embedder") for state in _states(shop)))
    assert metric(indexer, "vitrine_indexer_waiting") == 2, "both partitions wait"
    with refused("UNAVAILABLE", "embedder"):
        shop.calls.search.Search(gateway_pb2.SearchRequest(image=shop.products[0].pictures[0]), timeout=5)
    assert set(stock) <= set(all_found(client))
    assert client.search(product_id=stock[0]).hits
    time.sleep(1)  # long enough for a few attempts
    assert client.refusals() == []

    shop.stack.watch()
    indexed(client, positions)
    assert {event.product_id for event in new} <= set(all_found(client))
    assert client.search(image=shop.products[0].pictures[0]).hits
    assert client.refusals() == []
    eventually(lambda: _states(shop) == ["running", "running"])
    assert metric(indexer, "vitrine_indexer_waiting") == 0


def test_without_an_indexer_events_are_taken_and_searches_go_on(shop: Shop, stock: list[str]) -> None:
    client = shop.calls.client
    shop.stack.kill("indexer")
    new = [upsert(f"indexer-{number}", shop.products[number].pictures[0]) for number in range(10)]
    positions = published(client, new)
    assert set(stock) <= set(all_found(client))
    shop.stack.watch()
    indexed(client, positions)
    assert {event.product_id for event in new} <= set(all_found(client))


def test_a_frozen_searcher_is_said_within_the_deadline(shop: Shop) -> None:
    with frozen(shop.stack.pid("searcher")):
        started_s = time.monotonic()
        with refused("DEADLINE_EXCEEDED", "partition 0", "partition 1"):
            shop.calls.search.Search(SEARCH_BY_VECTOR, timeout=1)
        assert time.monotonic() - started_s < 2
        eventually(lambda: http(shop.stack.addresses["gateway"].http, "/readyz")[0] == 503)
    eventually(lambda: shop.calls.search.Search(SEARCH_BY_VECTOR, timeout=5).results)


def test_a_frozen_embedder_is_said_within_the_deadline(shop: Shop) -> None:
    # A picture that nobody has searched with: the gateway remembers the others' vectors.
    unseen = sample.draw(sample.catalogue(len(shop.products) + 1)[-1], 0)
    request = gateway_pb2.SearchRequest(image=unseen)
    with frozen(shop.stack.pid("embedder")):
        started_s = time.monotonic()
        with refused("DEADLINE_EXCEEDED", "embedder"):
            shop.calls.search.Search(request, timeout=1)
        assert time.monotonic() - started_s < 2
    eventually(lambda: shop.calls.search.Search(request, timeout=5).results)


def test_of_two_searchers_one_can_die_and_no_query_fails(tmp_path: Path) -> None:
    settings = StackSettings(tmp_path / "stack", DEFAULT_MODEL, searchers=2)
    with running_stack(settings) as stack, calls_to(stack) as calls:
        indexed(calls.client, published(calls.client, [product.upsert() for product in drawn()[:10]]))
        eventually(lambda: metric(stack.addresses["gateway"].http, "vitrine_gateway_replicas_up") == 2)
        killed_s = time.monotonic()
        stack.kill("searcher")  # the one that is asked when neither is busy
        while time.monotonic() < killed_s + 2:
            assert calls.client.search(vector=ANY_VECTOR).coverage.complete


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that neither answers nor ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _states(shop: Shop) -> list[str]:
    status = shop.calls.indexer.GetStatus(indexer_pb2.IndexerStatusRequest(), timeout=5)
    return [partition.state for partition in status.partitions]
