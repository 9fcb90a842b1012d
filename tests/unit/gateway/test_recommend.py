"""Recommendations between a history and searchers that fail between one question and the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from tests.unit.gateway.running import DIM, PARTITIONS, Running, StubSearcher, running
from vitrine.stream.partitioning import partition_of
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import unit

TIMEOUT_S = 10.0
VECTORS = unit(np.random.default_rng(4).normal(size=(120, DIM)).astype("f4"))
PRODUCTS = {f"shoe{number}": vector for number, vector in enumerate(VECTORS)}
HERE, AWAY = (
    [product_id for product_id in PRODUCTS if partition_of(product_id, PARTITIONS) == partition]
    for partition in range(PARTITIONS)
)


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Running]:
    """One searcher serves everything."""
    async with running(tmp_path, [[StubSearcher([0, 1], dict(PRODUCTS))]]) as gateway:
        yield gateway


def request(*product_ids: str, **fields: object) -> pb.RecommendRequest:
    asked = pb.RecommendRequest(history=[pb.HistoryItem(product_id=product_id) for product_id in product_ids])
    asked.MergeFrom(pb.RecommendRequest(**fields))  # type: ignore[arg-type]
    return asked


async def test_a_partition_that_did_not_say_what_was_liked_has_not_answered(alone: Running) -> None:
    (searcher,) = alone.searchers
    searcher.missing = {1}
    searcher.free.clear()
    call = asyncio.ensure_future(alone.stub.Recommend(request(HERE[0], AWAY[0]), timeout=TIMEOUT_S))
    async with asyncio.timeout(TIMEOUT_S):
        while not searcher.searches:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    # It is back before it is searched.
    searcher.missing = set()
    searcher.free.set()
    response = await call

    assert len(response.results) == 10
    assert (response.coverage.partitions_answered, response.coverage.partitions_total) == (1, PARTITIONS)
    assert [failure.partition for failure in response.coverage.failures] == [1]
    assert response.coverage.failures[0].reason == "history: not served here"
    assert list(response.unknown_product_ids) == []


async def test_all_interests_travel_in_one_call_and_look_past_the_whole_history(alone: Running) -> None:
    (searcher,) = alone.searchers
    history = list(PRODUCTS)[:30]
    response = await alone.stub.Recommend(request(*history, max_interests=4, page_size=90), timeout=TIMEOUT_S)

    (call,) = searcher.searches
    assert len(call.queries) == len(response.interests) > 1
    assert all(set(query.exclude_product_ids) == set(history) for query in call.queries)
    assert {result.hit.product_id for result in response.results} == set(PRODUCTS) - set(history)


@pytest.mark.parametrize(("page_size", "candidates"), [(5, 50), (20, 100)])
async def test_a_diverse_page_is_chosen_from_more_than_it_shows(
    alone: Running, page_size: int, candidates: int
) -> None:
    asked = request(*list(PRODUCTS)[:10], page_size=page_size, diversity=0.5, max_interests=1)
    response = await alone.stub.Recommend(asked, timeout=TIMEOUT_S)

    (call,) = alone.searchers[0].searches
    assert {query.k for query in call.queries} == {candidates}
    assert len(response.results) == page_size


async def test_many_interests_of_a_large_diverse_page_travel_in_one_call(alone: Running) -> None:
    asked = request(*list(PRODUCTS)[:40], page_size=100, diversity=0.5, max_interests=10)
    response = await alone.stub.Recommend(asked, timeout=TIMEOUT_S)

    (call,) = alone.searchers[0].searches
    assert all(query.k >= 100 for query in call.queries)
    assert sum(query.k for query in call.queries) <= 500 + 100 * len(response.interests)
    assert len(response.results) == len(PRODUCTS) - 40


async def test_time_that_runs_out_is_said(alone: Running) -> None:
    (searcher,) = alone.searchers
    searcher.free.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await alone.stub.Recommend(request(HERE[0]), timeout=0.4)
    searcher.free.set()
    assert caught.value.code().name == "DEADLINE_EXCEEDED"
