"""Where calls come in: who asks, how often, how much at once, and how long each takes here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from services.gateway import metrics
from services.gateway.admission import DEFAULT_BOUND, Admission
from services.gateway.callers import Callers
from services.gateway.gate import Gate
from services.gateway.own_time import OwnTime, awaiting
from tests.unit.gateway.running import Running, StubSearcher, running
from vitrine.v1 import gateway_pb2 as pb
from vitrine.vectors import to_wire

TIMEOUT_S = 10.0
QUERY = to_wire(np.array([1, 2, 3, 4], np.float32))
PRODUCTS = {"shoe1": np.array([1, 0, 0, 0], np.float32)}


def gated(
    folder: Path, limits: Mapping[str, float] | None = None, bound: float = DEFAULT_BOUND
) -> AbstractAsyncContextManager[Running]:
    gate = Gate(Callers(limits or {}), Admission(bound))
    return running(folder, [[StubSearcher([0, 1], dict(PRODUCTS))]], gates=[gate])


async def test_a_caller_over_its_limit_is_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    before = _count("web", "limited")
    async with gated(tmp_path, {"web": 2}) as gateway:
        codes = [await _code(gateway, caller="web") for _ in range(4)]
        assert codes == ["OK", "OK", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]
        assert await _code(gateway, caller="app") == "OK"
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await _search(gateway, caller="web")
        assert 0 < _retry_after_ms(refusal.value) <= 500
        assert _count("web", "limited") == before + 3


async def test_who_gives_no_name_is_unknown(tmp_path: Path) -> None:
    before = _count("unknown", "let in")
    async with gated(tmp_path, {"unknown": 1}) as gateway:
        assert [await _code(gateway) for _ in range(2)] == ["OK", "RESOURCE_EXHAUSTED"]
    assert _count("unknown", "let in") == before + 1


@pytest.mark.parametrize("name", ["", "Web", "a b", "x" * 65, "a/b"])
async def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    async with gated(tmp_path) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await _search(gateway, caller=name)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(refusal.value.details()).startswith("vitrine-caller: ")


async def test_scans_count_against_the_callers_limit_too(tmp_path: Path) -> None:
    async with gated(tmp_path, {"*": 1}) as gateway:
        request = pb.ScanRequest(vector=QUERY, min_score=-1)
        assert [message async for message in gateway.stub.Scan(request, timeout=TIMEOUT_S)]
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            assert [message async for message in gateway.stub.Scan(request, timeout=TIMEOUT_S)]
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_than_may_be_under_way_is_refused_and_room_is_given_back(tmp_path: Path) -> None:
    async with gated(tmp_path, bound=4) as gateway:
        searcher = gateway.searchers[0]
        searcher.free.clear()
        asked = [asyncio.create_task(_code(gateway)) for _ in range(10)]
        async with asyncio.timeout(TIMEOUT_S):
            while sum(task.done() for task in asked) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        searcher.free.set()
        codes = await asyncio.gather(*asked)
        assert sorted(codes) == ["OK"] * 4 + ["RESOURCE_EXHAUSTED"] * 6
        assert [await _code(gateway) for _ in range(5)] == ["OK"] * 5


async def test_status_is_told_however_much_there_is_to_do(tmp_path: Path) -> None:
    async with gated(tmp_path, {"*": 0.001}, bound=1) as gateway:
        gateway.searchers[0].free.clear()
        busy = asyncio.create_task(_code(gateway))
        await asyncio.sleep(0.1)
        status = await gateway.stub.GetIndexStatus(pb.GetIndexStatusRequest(), timeout=TIMEOUT_S)
        assert status.partitions_total == 2
        gateway.searchers[0].free.set()
        assert await busy == "OK"


async def test_time_spent_waiting_for_a_searcher_is_not_the_gateways_own(tmp_path: Path) -> None:
    before_s, before = _own()
    async with gated(tmp_path) as gateway:
        gateway.searchers[0].free.clear()
        call = asyncio.create_task(_search(gateway))
        await asyncio.sleep(0.3)
        gateway.searchers[0].free.set()
        await call
    after_s, after = _own()
    assert after == before + 1
    assert 0 < after_s - before_s < 0.2


async def test_waits_at_the_same_time_count_once() -> None:
    seconds = metrics.OWN_SECONDS.labels("test")

    async def wait() -> None:
        with awaiting():
            await asyncio.sleep(0.1)

    with OwnTime(seconds):
        await asyncio.gather(wait(), wait())
        await asyncio.sleep(0.05)
    own_s = metrics.OWN_SECONDS.labels("test")._sum.get()
    assert own_s == pytest.approx(0.05, abs=0.04)


async def _code(gateway: Running, caller: str | None = None) -> str:
    try:
        await _search(gateway, caller)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def _search(gateway: Running, caller: str | None = None) -> pb.SearchResponse:
    metadata: Sequence[tuple[str, str]] = () if caller is None else (("vitrine-caller", caller),)
    request = pb.SearchRequest(vector=QUERY)
    response: pb.SearchResponse = await gateway.stub.Search(request, timeout=TIMEOUT_S, metadata=metadata)
    return response


def _retry_after_ms(refusal: grpc.aio.AioRpcError) -> int:
    return next(int(value) for key, value in refusal.trailing_metadata() if key == "retry-after-ms")


def _count(caller: str, outcome: str) -> float:
    return float(metrics.CALLS_BY_CALLER.labels(caller, outcome)._value.get())


def _own() -> tuple[float, float]:
    """Seconds and calls so far."""
    samples = {
        sample.name: sample.value
        for metric in metrics.OWN_SECONDS.collect()
        for sample in metric.samples
        if sample.labels.get("method") == "Search" and sample.name.endswith(("_sum", "_count"))
    }
    return samples.get("vitrine_gateway_own_seconds_sum", 0.0), samples.get("vitrine_gateway_own_seconds_count", 0.0)
