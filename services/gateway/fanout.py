"""Step 3: one replica of every partition is asked; those that fail are named, never hidden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import grpc
import grpc.aio

from services.gateway import metrics
from services.gateway.coalesce import CALL_PRODUCTS, Limits, Part, is_too_large
from services.gateway.hedge import Hedging, Kind, first_answer
from services.gateway.own_time import awaiting
from services.gateway.replica import Failures as Failures
from services.gateway.replica import Replica, Replicas
from vitrine.runtime.channels import NOTHING, Credentials
from vitrine.runtime.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted
from vitrine.v1 import searcher_pb2 as pb

# Taken off the caller's deadline, so that the gateway can still say which partition was late.
DEADLINE_MARGIN_S: Final = 0.05
# More of it where there is more: on a machine that is busy, the way back takes longer.
_MARGIN: Final = 0.1
_MOST_MARGIN_S: Final = 0.25
# Of all calls: those that may be sent to a second searcher when the first is late.
HEDGE_SHARE: Final = 0.05
_RETRY_AFTER_S: Final = 1.0
# How the reasons of failures end.
_GONE: Final = "unavailable"
_LATE: Final = "deadline_exceeded"
_BUSY: Final = "resource_exhausted"
# Statuses that need no searcher to say them.
_SAID_HERE: Final = ("DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED")
# A searcher that was given less time than this and did not answer is no worse for it.
_FAIR_S: Final = 0.1
_QUICK_QUERIES: Final = 32
# To the caller of one query, its fields are those of the request.
_ONLY_QUERY: Final = "queries[0]."

Response = TypeVar("Response", pb.SearcherSearchResponse, pb.GetProductsResponse, Part)
# Sends what is asked for these partitions to a searcher. Raises AioRpcError, DeadlineExceeded.
Call = Callable[[Replica, Sequence[int]], Awaitable[Response]]
Streamed = TypeVar("Streamed", pb.SearcherScanResponse, pb.ListProductsResponse)
# Messages, None at the end of a stream, or what ends all of it.
Arriving = asyncio.Queue[Streamed | Exception | None]


class _Streaming(NamedTuple, Generic[Streamed]):
    """A call that is answered by a stream of `message`s."""

    method: Literal["Scan", "ListProducts"]
    request: pb.SearcherScanRequest | pb.ListProductsRequest
    message: type[Streamed]
    until_s: float


class Fanout(Replicas):
    """Asks the searchers of one index."""

    def __init__(
        self,
        topology_file: Path,
        status_interval_s: float,
        limits: Limits,
        hedge_share: float = HEDGE_SHARE,
        credentials: Credentials = NOTHING,
    ) -> None:
        super().__init__(topology_file, status_interval_s, credentials)
        self._limits = limits
        self._hedging = Hedging(hedge_share)
        self._calls = 0

    async def search_plain(
        self, index: str, query: pb.VectorQuery, partitions: Sequence[int], timeout_s: float
    ) -> tuple[list[Part], Failures]:
        """`query` sent for each of `partitions` to exactly one searcher, with whatever else is on its way there."""
        until_s = _until_s(timeout_s)

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[Part]:
            return replica.lane(index, share, self._limits).ask(query, until_s - monotonic())

        return await self._ask(partitions, call, "plain")

    async def search(
        self, request: pb.SearcherSearchRequest, partitions: Iterable[int], timeout_s: float
    ) -> tuple[list[pb.SearcherSearchResponse], Failures]:
        """`request` sent for each of `partitions` to exactly one searcher. Answers, and the partitions that failed."""
        until_s = _until_s(timeout_s)

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.SearcherSearchResponse]:
            part = pb.SearcherSearchRequest()
            part.CopyFrom(request)
            part.partitions.extend(share)
            return replica.stub.Search(part, timeout=_left_s(until_s))

        return await self._ask(partitions, call, _kind(request))

    async def products(
        self, request: pb.GetProductsRequest, homes: Mapping[str, int], timeout_s: float
    ) -> tuple[list[pb.GetProductsResponse], Failures]:
        """The products of `homes`, each asked for where its partition is. `request`: all else that is asked."""
        until_s = _until_s(timeout_s)

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.GetProductsResponse]:
            part = pb.GetProductsRequest()
            part.CopyFrom(request)
            part.product_ids.extend(product_id for product_id, partition in homes.items() if partition in share)
            return replica.stub.GetProducts(part, timeout=_left_s(until_s))

        return await self._ask(sorted(set(homes.values())), call, None if request.at_least else "products")

    def scan(
        self, request: pb.SearcherScanRequest, partitions: Iterable[int], timeout_s: float
    ) -> AsyncGenerator[pb.SearcherScanResponse]:
        """What one searcher of each of `partitions` streams, as it comes. A partition whose stream breaks is a failure.

        Raises InvalidArgument, ResourceExhausted as the first searcher does.
        """
        return self._streamed(_Streaming("Scan", request, pb.SearcherScanResponse, _until_s(timeout_s)), partitions)

    def list_products(
        self, request: pb.ListProductsRequest, partitions: Iterable[int], timeout_s: float
    ) -> AsyncGenerator[pb.ListProductsResponse]:
        """As `scan`."""
        return self._streamed(
            _Streaming("ListProducts", request, pb.ListProductsResponse, _until_s(timeout_s)), partitions
        )

    async def _streamed(self, streaming: _Streaming[Streamed], partitions: Iterable[int]) -> AsyncGenerator[Streamed]:
        shares, failures = self.assigned(partitions, frozenset())
        if failures:
            yield streaming.message(failures=failures)
        arriving: Arriving[Streamed] = asyncio.Queue(maxsize=2 * len(shares))
        tasks = [
            asyncio.create_task(self._stream_of(replica, share, streaming, arriving))
            for replica, share in shares.items()
        ]
        try:
            running = len(tasks)
            while running:
                message = await arriving.get()
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    running -= 1
                else:
                    yield message
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stream_of(
        self, replica: Replica, share: Sequence[int], streaming: _Streaming[Streamed], arriving: Arriving[Streamed]
    ) -> None:
        """Puts what the searchers of `share` stream, then None; or what ends all of it."""
        try:
            await self._stream_share(replica, share, streaming, arriving, frozenset())
            await arriving.put(None)
        except Exception as error:  # noqa: BLE001  (raised again where the messages are used)
            await arriving.put(error)

    async def _stream_share(
        self,
        replica: Replica,
        share: Sequence[int],
        streaming: _Streaming[Streamed],
        arriving: Arriving[Streamed],
        gone: frozenset[Replica],
    ) -> None:
        part = deepcopy(streaming.request)
        part.partitions.extend(share)
        call = getattr(replica.stub, streaming.method)(part, timeout=_left_s(streaming.until_s))
        begun = False
        replica.in_flight += 1
        try:
            async for message in call:
                begun = True
                await arriving.put(message)
            return
        except grpc.aio.AioRpcError as error:
            if error.code().name == "RESOURCE_EXHAUSTED":
                raise ResourceExhausted("a searcher runs as many scans as it may", _RETRY_AFTER_S) from error
            reason = _reason(error, replica)
        finally:
            # Whoever asked may go while a message waits to be taken: the searcher must not keep a place for it.
            call.cancel()
            replica.in_flight -= 1
        if begun or not reason.endswith(_GONE):
            # What has come cannot be taken back: another replica would say it again.
            await arriving.put(streaming.message(failures=_failures(share, reason)))
            return
        replica.serving = frozenset()
        others, failures = self.assigned(share, gone | {replica})
        if failures:
            await arriving.put(streaming.message(failures=_failures((f.partition for f in failures), reason)))
        for other, rest in others.items():
            await self._stream_share(other, rest, streaming, arriving, gone | {replica})

    async def _ask(
        self, partitions: Iterable[int], call: Call[Response], kind: Kind | None
    ) -> tuple[list[Response], Failures]:
        """`kind`: of calls that take about as long; None: of no such, they are never sent twice."""
        with metrics.FANOUT_SECONDS.time():
            answers, failures, gone = await self._round(partitions, call, kind, frozenset())
            if gone:
                # These were not there when they were asked: another replica is, perhaps, and no time was lost.
                lost = [failure.partition for failure in failures if failure.reason.endswith(_GONE)]
                more, still, _ = await self._round(lost, call, kind, gone)
                answers += more
                failures = [failure for failure in failures if failure.partition not in lost] + still
        for failure in failures:
            metrics.PARTITION_FAILURES.labels(failure.partition).inc()
        return answers, failures

    async def _round(
        self, partitions: Iterable[int], call: Call[Response], kind: Kind | None, without: frozenset[Replica]
    ) -> tuple[list[Response], Failures, frozenset[Replica]]:
        """Asks one searcher for each partition. Answers, failures, and the searchers that were not there."""
        shares, failures = self.assigned(partitions, without)
        calls = [self._called(replica, share, call, kind) for replica, share in shares.items()]
        # One call needs no task of its own.
        outcomes = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        answers, gone = [], set()
        for (replica, share), outcome in zip(shares.items(), outcomes, strict=True):
            if isinstance(outcome, str):
                failures += [pb.PartitionFailure(partition=partition, reason=outcome) for partition in share]
                if outcome.endswith(_GONE):
                    gone.add(replica)
            else:
                answers.append(outcome)
                failures += outcome.answer.failures if isinstance(outcome, Part) else outcome.failures
        return answers, failures, frozenset(gone)

    async def _called(
        self, replica: Replica, share: Sequence[int], call: Call[Response], kind: Kind | None
    ) -> Response | str:
        """The answer of `replica` or, if that is late, of another; or why there is none. Raises InvalidArgument."""
        began_s = monotonic()
        late_after_s = self._hedging.late_after_s(kind) if kind and len(self._replicas) > 1 else None
        if late_after_s is None:
            outcome = await self._once(replica, share, call)
        else:
            first, again = self._once(replica, share, call), partial(self._again, replica, share, call)
            outcome, overtaken = await first_answer(first, again, late_after_s)
            if overtaken:
                metrics.HEDGES_WON.inc()
                replica.standing.failed(monotonic())
        if kind and not isinstance(outcome, str):
            self._hedging.answered(kind, monotonic() - began_s)
        return outcome

    def _again(
        self, replica: Replica, share: Sequence[int], call: Call[Response]
    ) -> Coroutine[Any, Any, Response | str] | None:
        """The same call of another searcher, if there is one and it may be sent."""
        other = self.another(replica, share)
        if other is None or not self._hedging.take():
            return None
        metrics.HEDGES_SENT.inc()
        return self._once(other, share, call)

    async def _once(self, replica: Replica, share: Sequence[int], call: Call[Response]) -> Response | str:
        """The answer, or why there is none. A request the searcher finds wrong is the caller's error."""
        self._calls += 1
        replica.last_call = self._calls
        replica.in_flight += 1
        began_s = monotonic()
        try:
            with awaiting():
                async with replica.waited_for():
                    answer = await call(replica, share)
        except grpc.aio.AioRpcError as error:
            if error.code().name not in _SAID_HERE:
                replica.heard()
            reason = _reason(error, replica)
        except TimeoutError:
            reason = f"searcher {replica.address}: {_GONE}"
        except DeadlineExceeded:
            reason = f"searcher {replica.address}: {_LATE}"
        else:
            replica.heard()
            replica.standing.answered()
            return answer
        finally:
            replica.in_flight -= 1
        self._judge(replica, reason, monotonic() - began_s)
        return reason

    def _judge(self, replica: Replica, reason: str, seconds: float) -> None:
        """What it means for the next calls that a searcher has failed after `seconds`."""
        if reason.endswith(_BUSY):
            self._hedging.refused()
        elif reason.endswith(_GONE):
            replica.serving = frozenset()
            replica.standing.failed(monotonic())
        elif reason.endswith(_LATE) and seconds >= _FAIR_S:
            replica.standing.failed(monotonic())


def _reason(error: grpc.aio.AioRpcError, replica: Replica) -> str:
    """Why a searcher has no answer. Raises InvalidArgument where the fault is the caller's."""
    code = error.code().name
    if code == "INVALID_ARGUMENT":
        field, _, reason = (error.details() or "").partition(": ")
        raise InvalidArgument(field.removeprefix(_ONLY_QUERY), reason) from error
    if is_too_large(error):
        raise InvalidArgument(
            "page_size", "asks for more than fits into one message: these products are large"
        ) from error
    # Nobody here has cancelled it: it reached a searcher that was about to stop.
    gone = code in ("UNAVAILABLE", "CANCELLED")
    return f"searcher {replica.address}: {_GONE if gone else code.lower()}"


def _failures(partitions: Iterable[int], reason: str) -> Failures:
    return [pb.PartitionFailure(partition=partition, reason=reason) for partition in partitions]


def _kind(request: pb.SearcherSearchRequest) -> Kind | None:
    """Searches that take about as long. Who waits for events is not late, and has no kind."""
    if request.at_least:
        return None
    is_quick = len(request.queries) <= _QUICK_QUERIES and not any(query.exact for query in request.queries)
    return "search" if is_quick and sum(query.k for query in request.queries) <= CALL_PRODUCTS else "large search"


def _until_s(timeout_s: float) -> float:
    """When searchers must have answered a caller that has so many seconds."""
    return monotonic() + timeout_s - max(DEADLINE_MARGIN_S, min(_MOST_MARGIN_S, timeout_s * _MARGIN))


def _left_s(until_s: float) -> float:
    # A timeout of nothing is refused by gRPC in words of its own.
    return max(0.001, until_s - monotonic())
