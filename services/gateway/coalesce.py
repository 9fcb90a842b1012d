"""Plain queries in flight for the same searcher and the same partitions travel together.

One that finds nothing under way goes at once; those that come meanwhile leave together when a call returns. So nobody
waits for company, and the busier the searcher, the fewer calls carry its queries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import grpc.aio

from services.gateway import metrics
from vitrine.runtime.errors import DeadlineExceeded
from vitrine.v1 import searcher_pb2 as pb

# Products that one call may ask for in all: a large page would keep the small ones that travel with it waiting.
CALL_PRODUCTS: Final = 500
# A call that takes longer hangs or is one of a searcher in trouble: queries that wait for it would come too late.
PATIENCE_S: Final = 1.0

# Sends queries to the searcher, which has so many seconds for them. Raises AioRpcError.
Send = Callable[[Sequence[pb.VectorQuery], float], Awaitable[pb.SearcherSearchResponse]]


class Part(NamedTuple):
    """What one searcher found for one query. `answer`: the whole of it, with what it says about its partitions."""

    hits: pb.Hits
    answer: pb.SearcherSearchResponse


def parts_of(answer: pb.SearcherSearchResponse, queries: int) -> list[Part]:
    """One a query; of nothing where the searcher could answer for no partition."""
    return [Part(hits, answer) for hits in answer.hits or [pb.Hits()] * queries]


def is_too_large(error: grpc.aio.AioRpcError) -> bool:
    """Whether the answer did not fit into a message; a queue that is full has the same status."""
    return error.code().name == "RESOURCE_EXHAUSTED" and "larger than max" in (error.details() or "")


@dataclass(frozen=True)
class Limits:
    """How much travels together: queries of one call, and calls under way to one searcher."""

    queries: int = 32
    calls: int = 1


@dataclass(eq=False, slots=True)
class _Waiting:
    """A query and who waits for it. `deadline_s`: in the loop's time. `load`: what it is part of, if it has left."""

    query: pb.VectorQuery
    deadline_s: float
    answer: asyncio.Future[Part]
    load: _Load | None = None


@dataclass(eq=False, slots=True)
class _Load:
    """Queries under way. `waited_for`: how many callers have not left. `counts`: towards the calls under way."""

    members: list[_Waiting]
    waited_for: int
    counts: bool = True
    task: asyncio.Task[None] | None = None


class Lane:
    """The way to one searcher for the same partitions. Used from one event loop."""

    def __init__(self, send: Send, limits: Limits) -> None:
        self._send = send
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._calls = 0
        self._about_to_leave = False

    async def ask(self, query: pb.VectorQuery, timeout_s: float) -> Part:
        """Raises DeadlineExceeded after `timeout_s`; AioRpcError, the same one for all that travelled together."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(query, loop.time() + timeout_s, loop.create_future())
        self._waiting.append(waiting)
        if self._calls < self._limits.calls and not self._about_to_leave:
            # Not before all that has arrived already had its turn: it leaves with this one.
            self._about_to_leave = True
            loop.call_soon(self._leave)
        late = loop.call_at(waiting.deadline_s, _expire, waiting.answer)
        try:
            return await waiting.answer
        finally:
            late.cancel()
            _leave_alone(waiting)

    def _leave(self) -> None:
        """Sends what waits, as far as calls may be under way."""
        self._about_to_leave = False
        while self._calls < self._limits.calls and (members := self._next()):
            self._start(members)

    def _next(self) -> list[_Waiting]:
        members: list[_Waiting] = []
        products = 0
        while self._waiting and len(members) < self._limits.queries:
            waiting = self._waiting[0]
            if not waiting.answer.done():
                products += waiting.query.k
                if members and products > CALL_PRODUCTS:
                    break
                members.append(waiting)
            self._waiting.popleft()
        return members

    def _start(self, members: list[_Waiting]) -> None:
        self._calls += 1
        load = _Load(members, len(members))
        for waiting in members:
            waiting.load = load
        metrics.COALESCED.observe(len(members))
        load.task = asyncio.get_running_loop().create_task(self._carry(load))

    async def _carry(self, load: _Load) -> None:
        """Asks, and hands each caller its part or what went wrong."""
        late = asyncio.get_running_loop().call_later(PATIENCE_S, self._make_room, load)
        try:
            await self._deliver(load.members)
        except Exception as error:  # noqa: BLE001  (raised again where each answer is awaited)
            for waiting in load.members:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
        finally:
            late.cancel()
            self._make_room(load)

    def _make_room(self, load: _Load) -> None:
        """`load` has come back, or takes so long that others no longer wait for it."""
        if load.counts:
            load.counts = False
            self._calls -= 1
            self._leave()

    async def _deliver(self, members: list[_Waiting]) -> None:
        # As long as the most patient of them waits; the others leave before.
        timeout_s = max(waiting.deadline_s for waiting in members) - asyncio.get_running_loop().time()
        try:
            answer = await self._send([waiting.query for waiting in members], max(0.001, timeout_s))
        except grpc.aio.AioRpcError as error:
            if len(members) == 1 or not (error.code().name == "INVALID_ARGUMENT" or is_too_large(error)):
                raise
            # One of them is wrong in a way that was not seen here, or they are too much together. None fails another.
            await asyncio.gather(*(self._deliver_alone(waiting) for waiting in members))
            return
        for waiting, part in zip(members, parts_of(answer, len(members)), strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(part)

    async def _deliver_alone(self, waiting: _Waiting) -> None:
        try:
            await self._deliver([waiting])
        except grpc.aio.AioRpcError as error:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _expire(answer: asyncio.Future[Part]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("the searcher did not answer in time"))


def _leave_alone(waiting: _Waiting) -> None:
    """A load that nobody waits for any more costs its searcher no more work."""
    load = waiting.load
    if load is None:
        return
    load.waited_for -= 1
    if load.waited_for == 0 and load.task and not load.task.done():
        load.task.cancel()
