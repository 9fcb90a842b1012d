"""Which replica is asked: the idle one, not the one that fails, a second one for a late one, and a new one soon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest

from services.gateway import fanout as fanout_module
from services.gateway import replica as replica_module
from services.gateway.replica import Standing
from tests.unit.gateway.running import Running, StubSearcher, running
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.catalogue_pb2 import LogPosition
from vitrine.vectors import Vectors, to_wire, unit

TIMEOUT_S = 10.0
QUERY = to_wire(np.array([1, 2, 3, 4], np.float32))
# As many calls as must be seen before one can be called late, of each kind.
FEW = 32
# Many may be sent twice: on a machine that is busy with other things, some of the first calls are late, too.
SHARE = 0.5


def catalogue() -> dict[str, Vectors]:
    vectors = unit(np.random.default_rng(6).normal(size=(20, 4)).astype("f4"))
    return {f"shoe{number}": vector for number, vector in enumerate(vectors)}


def replicas(count: int) -> list[StubSearcher]:
    return [StubSearcher([0, 1], catalogue()) for _ in range(count)]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, [replicas(2)], hedge_share=SHARE) as gateway:
        yield gateway


@pytest.mark.parametrize("own", [{}, {"recall_target": 0.9}], ids=["plain", "alone"])
async def test_another_replica_answers_for_one_that_is_late(two: Running, own: dict[str, object]) -> None:
    await _searches(two, 2 * FEW, **own)
    hangs, answers = two.searchers
    hangs.free.clear()
    found = await _searches(two, 2, **own)
    assert {answer.coverage.partitions_answered for answer in found} == {2}
    await _until(lambda: hangs.cancelled >= 1)
    assert sum(answers.batch_sizes) >= 2


async def test_without_hedging_a_late_one_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, [replicas(2)], hedge_share=0.0) as gateway:
        await _searches(gateway, 2 * FEW)
        gateway.searchers[0].free.clear()
        late = [asyncio.create_task(_search(gateway)) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert [task.done() for task in late].count(False) == 1
        gateway.searchers[0].free.set()
        await asyncio.gather(*late)


async def test_where_there_is_no_other_replica_nothing_is_sent_twice(tmp_path: Path) -> None:
    groups = [[StubSearcher([0], catalogue())], [StubSearcher([1], catalogue())]]
    async with running(tmp_path, groups, hedge_share=SHARE) as gateway:
        await _searches(gateway, 2 * FEW)
        for searcher in gateway.searchers:
            searcher.free.clear()
        sent = [len(searcher.searches) for searcher in gateway.searchers]
        late = asyncio.create_task(_search(gateway))
        await asyncio.sleep(0.2)
        assert [len(searcher.searches) for searcher in gateway.searchers] == [count + 1 for count in sent]
        for searcher in gateway.searchers:
            searcher.free.set()
        await late


async def test_who_waits_for_events_is_not_late(two: Running) -> None:
    waiting = {"at_least": [LogPosition()]}
    await _searches(two, 2 * FEW, **waiting)
    two.searchers[0].free.clear()
    sent = sum(len(searcher.searches) for searcher in two.searchers)
    calls = [asyncio.create_task(_search(two, **waiting)) for _ in range(2)]
    await asyncio.sleep(0.2)
    assert sum(len(searcher.searches) for searcher in two.searchers) == sent + 2
    two.searchers[0].free.set()
    await asyncio.gather(*calls)


async def test_a_lane_that_hangs_does_not_keep_the_queries_behind_it(two: Running) -> None:
    await _searches(two, 2 * FEW)
    hangs, answers = two.searchers
    hangs.free.clear()
    sent = len(answers.searches)
    found = await asyncio.gather(*(_search(two) for _ in range(16)))
    assert {answer.coverage.partitions_answered for answer in found} == {2}
    # Those that the lane held back went elsewhere, and together.
    assert len(hangs.searches[-1].queries) < 8
    assert len(answers.searches) - sent < 16


async def test_a_searcher_that_refuses_is_not_helped_by_asking_twice(tmp_path: Path) -> None:
    async with running(tmp_path, [replicas(2)]) as gateway:
        await _searches(gateway, 4 * FEW)
        for searcher in gateway.searchers:
            searcher.failing = grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await _search(gateway)
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for searcher in gateway.searchers:
            searcher.failing = None
        gateway.searchers[0].free.clear()
        late = [asyncio.create_task(_search(gateway)) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert [task.done() for task in late].count(False) == 1
        gateway.searchers[0].free.set()
        await asyncio.gather(*late)


async def test_replicas_take_turns_while_all_are_idle(two: Running) -> None:
    await _searches(two, 10)
    assert [len(searcher.searches) for searcher in two.searchers] == [5, 5]


async def test_a_replica_that_fails_is_asked_less(two: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "_FAIR_S", 0.0)
    broken, sound = two.searchers
    broken.failing = grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.gather(*(_search(two) for _ in range(4)), return_exceptions=True)
    for _ in range(20):
        try:
            await _search(two)
        except grpc.aio.AioRpcError:
            continue
    assert len(sound.searches) > len(broken.searches)


async def test_a_replica_added_to_the_topology_takes_its_share(tmp_path: Path) -> None:
    async with running(tmp_path, [replicas(2)], status_interval_s=0.05) as gateway:
        groups = json.loads(gateway.topology.read_text())["groups"]
        _replace(gateway.topology, {"groups": [{"addresses": groups[0]["addresses"][:1]}]})
        await asyncio.sleep(0.3)
        first, added = gateway.searchers
        before = len(added.searches)
        await _searches(gateway, 10)
        assert len(added.searches) == before
        _replace(gateway.topology, {"groups": groups})
        await asyncio.sleep(0.3)
        counts = [len(searcher.searches) for searcher in (first, added)]
        await _searches(gateway, 20)
        assert [len(searcher.searches) for searcher in (first, added)] == [count + 10 for count in counts]


async def test_a_second_try_has_only_the_time_that_is_left(two: Running) -> None:
    gone, hangs = two.searchers
    gone.failing = grpc.StatusCode.UNAVAILABLE
    gone.free.clear()
    hangs.free.clear()
    asyncio.get_running_loop().call_later(0.3, gone.free.set)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await two.stub.Search(pb.SearchRequest(vector=QUERY, exact=True), timeout=0.6)
    assert asyncio.get_running_loop().time() - began_s < 0.65
    # Said by the gateway, which had a moment left to say it.
    assert "deadline_exceeded" in str(late.value.details())


def test_a_searcher_is_left_alone_after_failures_in_a_row_and_longer_each_time() -> None:
    standing, now_s = Standing(), 100.0
    for _ in range(2):
        standing.failed(now_s)
    standing.answered()
    for _ in range(2):
        standing.failed(now_s)
    assert standing.trusted(now_s)
    alone_s = []
    for _ in range(7):
        standing.failed(now_s)
        began_s = now_s
        # Calls that were under way count no further.
        standing.failed(now_s)
        while not standing.trusted(now_s):
            now_s += 0.1
        alone_s.append(round(now_s - began_s, 1))
    assert alone_s == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0], abs=0.11)
    standing.answered()
    standing.failed(now_s)
    assert standing.trusted(now_s), "its name is cleared"


@pytest.fixture
async def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A searcher for each of two partitions, and a gateway that soon sees when one hangs."""
    monkeypatch.setattr(replica_module, "_STATUS_TIMEOUT_S", 0.3)
    monkeypatch.setattr(replica_module, "_SILENT_S", 0.05)
    groups = [[StubSearcher([0], catalogue())], [StubSearcher([1], catalogue())]]
    async with running(tmp_path, groups, status_interval_s=0.1) as gateway:
        yield gateway


@pytest.mark.parametrize("own", [{}, {"recall_target": 0.9}], ids=["plain", "alone"])
async def test_a_searcher_that_hangs_is_not_waited_for(impatient: Running, own: dict[str, object]) -> None:
    hangs = impatient.searchers[1]
    hangs.free.clear()
    hangs.silent = True
    answers = await asyncio.gather(*(_search(impatient, **own) for _ in range(5)))
    assert [answer.coverage.partitions_answered for answer in answers] == [1] * 5
    assert "unavailable" in answers[0].coverage.failures[0].reason
    asked = len(hangs.searches)
    assert (await _search(impatient, **own)).coverage.failures[0].reason == "every searcher of it is unavailable"
    assert len(hangs.searches) == asked
    hangs.silent = False
    hangs.free.set()
    await asyncio.sleep(1)
    assert (await _search(impatient, **own)).coverage.partitions_answered == 2


async def test_a_searcher_that_is_slow_and_says_how_it_is_is_waited_for(impatient: Running) -> None:
    slow = impatient.searchers[1]
    slow.free.clear()
    asyncio.get_running_loop().call_later(1, slow.free.set)
    assert (await _search(impatient)).coverage.partitions_answered == 2


async def test_searches_that_wait_for_a_searcher_that_hangs_take_nobodys_place(tmp_path: Path) -> None:
    groups = [[StubSearcher([0], catalogue())], [StubSearcher([1], catalogue())]]
    async with running(tmp_path, groups) as gateway:
        gateway.searchers[1].free.clear()
        gateway.searchers[1].silent = True
        waiting = [asyncio.create_task(_search(gateway)) for _ in range(5)]
        await asyncio.sleep(2 * replica_module._SILENT_S)
        assert gateway.fanout.give_up_silent()
        assert not gateway.fanout.give_up_silent()
        answers = await asyncio.gather(*waiting)
        assert [answer.coverage.partitions_answered for answer in answers] == [1] * 5
        gateway.searchers[1].free.set()


async def _searches(gateway: Running, count: int, **fields: object) -> list[pb.SearchResponse]:
    """One after the other."""
    return [await _search(gateway, **fields) for _ in range(count)]


async def _search(gateway: Running, **fields: object) -> pb.SearchResponse:
    request = pb.SearchRequest(vector=QUERY, **fields)  # type: ignore[arg-type]
    response: pb.SearchResponse = await gateway.stub.Search(request, timeout=TIMEOUT_S)
    return response


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (what is waited for sends no event)
            await asyncio.sleep(0.01)


def _replace(path: Path, content: object) -> None:
    path.with_suffix(".new").write_text(json.dumps(content))
    path.with_suffix(".new").replace(path)
