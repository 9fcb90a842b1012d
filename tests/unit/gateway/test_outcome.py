"""Every answer to a shopper is counted once, as complete, partial or failed; a caller's own mistakes are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from services.gateway import metrics
from services.gateway.admission import Admission
from services.gateway.callers import Callers
from services.gateway.gate import Gate
from tests.unit.gateway.running import Running, StubSearcher, running
from vitrine.v1 import catalogue_pb2
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire

TIMEOUT_S = 10.0
QUERY = to_wire(np.array([1, 2, 3, 4], np.float32))
PRODUCTS = {"shoe1": np.array([1, 0, 0, 0], np.float32)}


@asynccontextmanager
async def counted(folder: Path, limits: Mapping[str, float] | None = None, **added: int) -> AsyncIterator[Running]:
    """A gateway whose answers within the block must be `added`, by outcome."""
    before = _answers()
    gates = [Gate(Callers(limits or {}), Admission())]
    async with running(folder, [[StubSearcher([0, 1], dict(PRODUCTS))]], gates=gates) as gateway:
        yield gateway
    after = _answers()
    assert {outcome: after[outcome] - before[outcome] for outcome in after if after[outcome] > before[outcome]} == added


async def test_a_complete_answer(tmp_path: Path) -> None:
    async with counted(tmp_path, complete=1) as gateway:
        await gateway.stub.Search(pb.SearchRequest(vector=QUERY), timeout=TIMEOUT_S)


async def test_an_answer_without_a_partition_is_partial(tmp_path: Path) -> None:
    async with counted(tmp_path, partial=1) as gateway:
        gateway.searchers[0].missing = {1}
        await gateway.stub.Search(pb.SearchRequest(vector=QUERY), timeout=TIMEOUT_S)


async def test_a_partial_answer_that_was_not_wanted_has_failed_and_counts_once(tmp_path: Path) -> None:
    async with counted(tmp_path, failed=1) as gateway:
        gateway.searchers[0].missing = {1}
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.Search(pb.SearchRequest(vector=QUERY, require_complete=True), timeout=TIMEOUT_S)


@pytest.mark.parametrize("request_", [pb.SearchRequest(vector=b"x"), pb.SearchRequest(product_id="no-such")])
async def test_the_callers_mistake_is_not_counted(tmp_path: Path, request_: pb.SearchRequest) -> None:
    async with counted(tmp_path) as gateway:
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.Search(request_, timeout=TIMEOUT_S)


async def test_a_caller_over_its_own_limit_is_not_counted(tmp_path: Path) -> None:
    async with counted(tmp_path, {"*": 1}, complete=1) as gateway:
        await gateway.stub.Search(pb.SearchRequest(vector=QUERY), timeout=TIMEOUT_S)
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.Search(pb.SearchRequest(vector=QUERY), timeout=TIMEOUT_S)


async def test_each_search_of_a_batch_is_an_answer(tmp_path: Path) -> None:
    async with counted(tmp_path, complete=2) as gateway:
        searches = [pb.SearchRequest(vector=QUERY), pb.SearchRequest(vector=QUERY), pb.SearchRequest(vector=b"x")]
        await gateway.stub.BatchSearch(pb.BatchSearchRequest(searches=searches), timeout=TIMEOUT_S)


async def test_shoppers_answers_are_timed_and_what_may_take_its_time_is_not(tmp_path: Path) -> None:
    before = _timed()
    async with counted(tmp_path, complete=3) as gateway:
        search = pb.SearchRequest(vector=QUERY)
        await gateway.stub.Search(search, timeout=TIMEOUT_S)
        assert _timed() == before + 1
        await gateway.stub.BatchSearch(pb.BatchSearchRequest(searches=[search]), timeout=TIMEOUT_S)
        waiting = pb.SearchRequest(vector=QUERY, at_least=[catalogue_pb2.LogPosition(partition=0, offset=0)])
        await gateway.stub.Search(waiting, timeout=TIMEOUT_S)
    assert _timed() == before + 1


def _timed() -> float:
    [metric] = metrics.ANSWER_SECONDS.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_count"))


def _answers() -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for metric in metrics.ANSWERS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
