"""Queries that travel together: when they leave, and that none of them harms another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import grpc
import grpc.aio
import pytest

from services.gateway import coalesce
from services.gateway.coalesce import Lane, Limits, Part
from vitrine.runtime.errors import DeadlineExceeded
from vitrine.v1 import searcher_pb2 as pb

LONG_S = 10.0


class Searcher:
    """Answers each query with a hit that has the query's k as its id, once it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.timeouts_s: list[float] = []
        self.cancelled = 0
        self.refused: set[int] = set()
        self.failure: grpc.StatusCode | None = None
        self._free = asyncio.Event()

    def go(self) -> None:
        self._free.set()

    def stop(self) -> None:
        self._free.clear()

    async def send(self, queries: Sequence[pb.VectorQuery], timeout_s: float) -> pb.SearcherSearchResponse:
        self.calls.append([query.k for query in queries])
        self.timeouts_s.append(timeout_s)
        try:
            await self._free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure:
            raise _failed(self.failure)
        if self.refused & set(self.calls[-1]):
            raise _failed(grpc.StatusCode.INVALID_ARGUMENT)
        hits = [pb.Hits(hits=[pb.Hit(product_id=str(query.k))]) for query in queries]
        return pb.SearcherSearchResponse(hits=hits)


@pytest.fixture
def searcher() -> Searcher:
    return Searcher()


@pytest.fixture
def ask(searcher: Searcher) -> Callable[..., asyncio.Task[Part]]:
    lane = Lane(searcher.send, Limits(queries=4, calls=1))

    def asked(number: int, timeout_s: float = LONG_S) -> asyncio.Task[Part]:
        return asyncio.create_task(lane.ask(pb.VectorQuery(k=number), timeout_s))

    return asked


Ask = Callable[..., "asyncio.Task[Part]"]


async def test_a_query_alone_leaves_at_once(searcher: Searcher, ask: Ask) -> None:
    searcher.go()
    assert await _answer(ask(1)) == "1"
    assert searcher.calls == [[1]]


async def test_queries_that_come_while_one_is_under_way_leave_together(searcher: Searcher, ask: Ask) -> None:
    first = ask(1)
    await _settled()
    rest = [ask(number) for number in (2, 3, 4)]
    await _settled()
    assert searcher.calls == [[1]]
    searcher.go()
    assert [await _answer(task) for task in (first, *rest)] == ["1", "2", "3", "4"]
    assert searcher.calls == [[1], [2, 3, 4]]


async def test_no_call_carries_more_than_it_may(searcher: Searcher, ask: Ask) -> None:
    tasks = [ask(1)]
    await _settled()
    tasks += [ask(number) for number in range(2, 12)]
    await _settled()
    searcher.go()
    assert [await _answer(task) for task in tasks] == [str(number) for number in range(1, 12)]
    assert [len(call) for call in searcher.calls] == [1, 4, 4, 2]


async def test_one_that_goes_away_does_not_harm_the_others(searcher: Searcher, ask: Ask) -> None:
    together = [ask(number) for number in (1, 2, 3)]
    await _settled()
    together[1].cancel()
    await _settled()
    searcher.go()
    assert await _answer(together[0]) == "1"
    assert await _answer(together[2]) == "3"
    assert searcher.cancelled == 0


async def test_one_that_goes_away_while_it_waits_is_not_sent(searcher: Searcher, ask: Ask) -> None:
    first = ask(1)
    await _settled()
    gone, stays = ask(2), ask(3)
    await _settled()
    gone.cancel()
    await _settled()
    searcher.go()
    assert [await _answer(first), await _answer(stays)] == ["1", "3"]
    assert searcher.calls == [[1], [3]]


async def test_a_call_that_nobody_waits_for_is_cancelled_and_the_next_leaves(searcher: Searcher, ask: Ask) -> None:
    together = [ask(1), ask(2)]
    await _settled()
    waiting = ask(3)
    await _settled()
    for task in together:
        task.cancel()
    await _settled()
    assert searcher.cancelled == 1
    assert searcher.calls == [[1, 2], [3]]
    searcher.go()
    assert await _answer(waiting) == "3"


async def test_each_keeps_its_own_deadline(searcher: Searcher, ask: Ask) -> None:
    hurried, patient = ask(1, 0.05), ask(2)
    began_s = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await hurried
    assert time.monotonic() - began_s < 1
    searcher.go()
    assert await _answer(patient) == "2"
    assert searcher.timeouts_s[0] == pytest.approx(LONG_S, abs=1)


async def test_a_deadline_also_ends_while_the_query_waits_its_turn(searcher: Searcher, ask: Ask) -> None:
    first = ask(1)
    await _settled()
    with pytest.raises(DeadlineExceeded):
        await ask(2, 0.05)
    searcher.go()
    assert await _answer(first) == "1"
    await _settled()
    assert searcher.calls == [[1]]


async def test_a_failure_reaches_everyone_and_the_way_stays_open(searcher: Searcher, ask: Ask) -> None:
    searcher.failure = grpc.StatusCode.UNAVAILABLE
    searcher.go()
    for outcome in await asyncio.gather(ask(1), ask(2), return_exceptions=True):
        assert isinstance(outcome, grpc.aio.AioRpcError)
        assert outcome.code() is grpc.StatusCode.UNAVAILABLE
    searcher.failure = None
    assert await _answer(ask(3)) == "3"


async def test_a_query_that_the_searcher_refuses_fails_alone(searcher: Searcher, ask: Ask) -> None:
    searcher.refused = {2}
    searcher.go()
    outcomes = await asyncio.gather(ask(1), ask(2), ask(3), return_exceptions=True)
    assert [isinstance(outcome, Part) for outcome in outcomes] == [True, False, True]


async def test_an_answer_of_the_wrong_length_leaves_nobody_waiting(ask: Ask) -> None:
    async def send(queries: Sequence[pb.VectorQuery], timeout_s: float) -> pb.SearcherSearchResponse:
        return pb.SearcherSearchResponse(hits=[pb.Hits()])

    lane = Lane(send, Limits())
    asked = [asyncio.create_task(lane.ask(pb.VectorQuery(k=number), LONG_S)) for number in (1, 2)]
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, Part)
    assert isinstance(second, ValueError)


async def test_a_call_carries_no_more_products_than_it_may(searcher: Searcher) -> None:
    lane = Lane(searcher.send, Limits(queries=32, calls=1))
    pages = (100, 300, 200, 501, 1)
    tasks = [asyncio.create_task(lane.ask(pb.VectorQuery(k=size), LONG_S)) for size in pages]
    searcher.go()
    assert [await _answer(task) for task in tasks] == [str(size) for size in pages]
    assert searcher.calls == [[100, 300], [200], [501], [1]]


async def test_answers_that_are_too_large_together_are_asked_for_alone(searcher: Searcher) -> None:
    async def send(queries: Sequence[pb.VectorQuery], timeout_s: float) -> pb.SearcherSearchResponse:
        if len(queries) > 1:
            raise _failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 8)")
        return await searcher.send(queries, timeout_s)

    searcher.go()
    lane = Lane(send, Limits())
    asked = [asyncio.create_task(lane.ask(pb.VectorQuery(k=number), LONG_S)) for number in (1, 2)]
    assert [await _answer(task) for task in asked] == ["1", "2"]


async def test_a_searcher_that_is_busy_is_not_asked_again_for_each(searcher: Searcher, ask: Ask) -> None:
    searcher.failure = grpc.StatusCode.RESOURCE_EXHAUSTED
    searcher.go()
    await asyncio.gather(ask(1), ask(2), return_exceptions=True)
    assert searcher.calls == [[1, 2]]


async def test_a_call_that_hangs_does_not_hold_up_those_after_it(
    searcher: Searcher, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalesce, "PATIENCE_S", 0.05)
    hanging = ask(1)
    await _settled()
    later = ask(2)
    await _settled()
    assert searcher.calls == [[1]]
    await asyncio.sleep(0.1)
    assert searcher.calls == [[1], [2]]
    third = ask(3)
    searcher.go()
    assert [await _answer(task) for task in (hanging, later, third)] == ["1", "2", "3"]
    assert searcher.calls == [[1], [2], [3]]


async def test_a_call_that_hung_and_came_back_makes_room_once(
    searcher: Searcher, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalesce, "PATIENCE_S", 0.05)
    hanging = ask(1)
    await asyncio.sleep(0.1)
    searcher.go()
    await hanging
    searcher.stop()
    monkeypatch.setattr(coalesce, "PATIENCE_S", LONG_S)
    asked = []
    for number in (2, 3):
        asked.append(ask(number))
        await _settled()
    assert searcher.calls == [[1], [2]]
    searcher.go()
    assert [await _answer(task) for task in asked] == ["2", "3"]


async def test_two_calls_may_be_under_way_if_so_told(searcher: Searcher) -> None:
    lane = Lane(searcher.send, Limits(queries=4, calls=2))
    tasks = []
    for number in (1, 2, 3):
        tasks.append(asyncio.create_task(lane.ask(pb.VectorQuery(k=number), LONG_S)))
        await _settled()
    assert searcher.calls == [[1], [2]]
    searcher.go()
    assert [await _answer(task) for task in tasks] == ["1", "2", "3"]


async def _answer(task: Awaitable[Part]) -> str:
    return (await task).hits.hits[0].product_id


async def _settled() -> None:
    """Everything that can happen without an answer has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


def _failed(code: grpc.StatusCode, details: str = "queries[0].vector: wrong") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
