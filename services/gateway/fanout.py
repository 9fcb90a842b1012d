"""Step 3: one replica of every partition is asked; those that fail are named, never hidden."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio

from services.gateway import metrics
from services.gateway.coalesce import Limits, Part, is_too_large
from services.gateway.replica import Replica
from services.gateway.topology import Topology
from vitrine.runtime.errors import ConfigError, DeadlineExceeded, InvalidArgument, ResourceExhausted
from vitrine.runtime.logs import logger
from vitrine.v1 import searcher_pb2 as pb

# Taken off the caller's deadline, so that the gateway can still say which partition was late.
DEADLINE_MARGIN_S: Final = 0.05
_STATUS_TIMEOUT_S: Final = 1.0
_RETRY_AFTER_S: Final = 1.0
_GONE: Final = "unavailable"

_LATE: Final = "deadline_exceeded"
# To the caller of one query, its fields are those of the request.
_ONLY_QUERY: Final = "queries[0]."

Response = TypeVar("Response", pb.SearcherSearchResponse, pb.GetProductsResponse, Part)
Failures = list[pb.PartitionFailure]
# Messages, None at the end of a stream, or what ends the whole scan.
Arriving = asyncio.Queue[pb.SearcherScanResponse | Exception | None]


class Fanout:
    """The searchers of one index."""

    def __init__(self, topology_file: Path, status_interval_s: float, limits: Limits) -> None:
        self._file = topology_file
        self._topology = Topology.read(topology_file)
        self._read_ns = topology_file.stat().st_mtime_ns
        self._interval_s = status_interval_s
        self._limits = limits
        self._replicas: dict[str, Replica] = {}

    def statuses(self) -> list[pb.SearcherStatusResponse]:
        """What the searchers that answer said last."""
        return [replica.status for replica in self._replicas.values() if replica.status]

    def serving(self) -> set[int]:
        """Partitions that at least one searcher can answer."""
        return {partition for replica in self._replicas.values() for partition in replica.serving}

    async def watch(self) -> None:
        """Reloads the topology when it changes and asks searchers how they are, until cancelled."""
        while True:
            self._reload()
            for address in self._topology.addresses():
                self._replicas.setdefault(address, Replica(address))
            await asyncio.gather(*(self._ask_status(replica) for replica in self._replicas.values()))
            metrics.REPLICAS_UP.set(sum(replica.status is not None for replica in self._replicas.values()))
            await asyncio.sleep(self._interval_s)

    async def refresh(self) -> None:
        """Asks every searcher for its status now."""
        await asyncio.gather(*(self._ask_status(replica) for replica in self._replicas.values()))

    async def search_plain(
        self, index: str, query: pb.VectorQuery, partitions: Sequence[int], timeout_s: float
    ) -> tuple[list[Part], Failures]:
        """`query` sent for each of `partitions` to exactly one searcher, with whatever else is on its way there."""

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[Part]:
            return replica.lane(index, share, self._limits).ask(query, timeout_s - DEADLINE_MARGIN_S)

        return await self._ask(partitions, call)

    async def search(
        self, request: pb.SearcherSearchRequest, partitions: Iterable[int], timeout_s: float
    ) -> tuple[list[pb.SearcherSearchResponse], Failures]:
        """`request` sent for each of `partitions` to exactly one searcher. Answers, and the partitions that failed."""

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.SearcherSearchResponse]:
            part = pb.SearcherSearchRequest()
            part.CopyFrom(request)
            part.partitions.extend(share)
            return replica.stub.Search(part, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))

        return await self._ask(partitions, call)

    async def products(
        self, request: pb.GetProductsRequest, homes: Mapping[str, int], timeout_s: float
    ) -> tuple[list[pb.GetProductsResponse], Failures]:
        """The products of `homes`, each asked for where its partition is. `request`: all else that is asked."""

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.GetProductsResponse]:
            part = pb.GetProductsRequest()
            part.CopyFrom(request)
            part.product_ids.extend(product_id for product_id, partition in homes.items() if partition in share)
            return replica.stub.GetProducts(part, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))

        return await self._ask(sorted(set(homes.values())), call)

    async def scan(
        self, request: pb.SearcherScanRequest, partitions: Iterable[int], timeout_s: float
    ) -> AsyncGenerator[pb.SearcherScanResponse]:
        """What one searcher of each of `partitions` streams, as it comes. A partition whose stream breaks is a failure.

        Raises InvalidArgument, ResourceExhausted as the first searcher does.
        """
        shares, failures = self._assigned(partitions, frozenset())
        if failures:
            yield pb.SearcherScanResponse(failures=failures)
        arriving: Arriving = asyncio.Queue(maxsize=2 * len(shares))
        tasks = [
            asyncio.create_task(self._scanned(replica, share, request, timeout_s, arriving))
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

    async def _scanned(
        self,
        replica: Replica,
        share: Sequence[int],
        request: pb.SearcherScanRequest,
        timeout_s: float,
        arriving: Arriving,
    ) -> None:
        """Puts what the searchers of `share` stream, then None; or what ends the whole scan."""
        try:
            await self._scan_share(replica, share, request, timeout_s, arriving, frozenset())
            await arriving.put(None)
        except Exception as error:  # noqa: BLE001  (raised again where the messages are used)
            await arriving.put(error)

    async def _scan_share(
        self,
        replica: Replica,
        share: Sequence[int],
        request: pb.SearcherScanRequest,
        timeout_s: float,
        arriving: Arriving,
        gone: frozenset[Replica],
    ) -> None:
        part = pb.SearcherScanRequest()
        part.CopyFrom(request)
        part.partitions.extend(share)
        begun = False
        replica.in_flight += 1
        try:
            async for message in replica.stub.Scan(part, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S)):
                begun = True
                await arriving.put(message)
            return
        except grpc.aio.AioRpcError as error:
            if error.code().name == "RESOURCE_EXHAUSTED":
                raise ResourceExhausted("a searcher runs as many scans as it may", _RETRY_AFTER_S) from error
            reason = _reason(error, replica)
        finally:
            replica.in_flight -= 1
        if begun or not reason.endswith(_GONE):
            # What has come cannot be taken back: another replica would say it again.
            await arriving.put(pb.SearcherScanResponse(failures=_failures(share, reason)))
            return
        replica.serving = frozenset()
        others, failures = self._assigned(share, gone | {replica})
        if failures:
            await arriving.put(pb.SearcherScanResponse(failures=_failures((f.partition for f in failures), reason)))
        for other, rest in others.items():
            await self._scan_share(other, rest, request, timeout_s, arriving, gone | {replica})

    async def _ask(
        self, partitions: Iterable[int], call: Callable[[Replica, Sequence[int]], Awaitable[Response]]
    ) -> tuple[list[Response], Failures]:
        with metrics.FANOUT_SECONDS.time():
            answers, failures, gone = await self._round(partitions, call, frozenset())
            if gone:
                # These were not there when they were asked: another replica is, perhaps, and no time was lost.
                lost = [failure.partition for failure in failures if failure.reason.endswith(_GONE)]
                more, still, _ = await self._round(lost, call, gone)
                answers += more
                failures = [failure for failure in failures if failure.partition not in lost] + still
        for failure in failures:
            metrics.PARTITION_FAILURES.labels(failure.partition).inc()
        return answers, failures

    async def _round(
        self,
        partitions: Iterable[int],
        call: Callable[[Replica, Sequence[int]], Awaitable[Response]],
        without: frozenset[Replica],
    ) -> tuple[list[Response], Failures, frozenset[Replica]]:
        """Asks one searcher for each partition. Answers, failures, and the searchers that were not there."""
        shares, failures = self._assigned(partitions, without)
        calls = [self._called(replica, share, call) for replica, share in shares.items()]
        # One call needs no task of its own.
        outcomes = [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)
        answers, gone = [], set()
        for (replica, share), outcome in zip(shares.items(), outcomes, strict=True):
            if isinstance(outcome, str):
                failures += [pb.PartitionFailure(partition=partition, reason=outcome) for partition in share]
                if outcome.endswith(_GONE):
                    replica.serving = frozenset()
                    gone.add(replica)
            else:
                answers.append(outcome)
                failures += outcome.answer.failures if isinstance(outcome, Part) else outcome.failures
        return answers, failures, frozenset(gone)

    def _assigned(
        self, partitions: Iterable[int], without: frozenset[Replica]
    ) -> tuple[dict[Replica, list[int]], Failures]:
        """Each partition with the least busy searcher that serves it, or, if none says so, that should."""
        shares: dict[Replica, list[int]] = {}
        failures = []
        for partition in partitions:
            configured = [self._replicas[a] for a in self._topology.replicas(partition) if a in self._replicas]
            others = [replica for replica in configured if replica not in without]
            candidates = [replica for replica in others if partition in replica.serving] or others
            if not candidates:
                reason = "every searcher of it is unavailable" if configured else "no searcher serves it"
                failures.append(pb.PartitionFailure(partition=partition, reason=reason))
                continue
            # A searcher already asked for this query is preferred: one call carries several partitions.
            chosen = min(candidates, key=lambda replica: (replica not in shares, replica.in_flight))
            shares.setdefault(chosen, []).append(partition)
        return shares, failures

    async def _called(
        self,
        replica: Replica,
        share: Sequence[int],
        call: Callable[[Replica, Sequence[int]], Awaitable[Response]],
    ) -> Response | str:
        """The answer, or why there is none. A request the searcher finds wrong is the caller's error."""
        replica.in_flight += 1
        try:
            return await call(replica, share)
        except grpc.aio.AioRpcError as error:
            return _reason(error, replica)
        except DeadlineExceeded:
            return f"searcher {replica.address}: {_LATE}"
        finally:
            replica.in_flight -= 1

    async def _ask_status(self, replica: Replica) -> None:
        try:
            status = await replica.stub.GetStatus(pb.SearcherStatusRequest(), timeout=_STATUS_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            replica.status, replica.serving = None, frozenset()
            return
        replica.status = status
        replica.serving = frozenset(partition.partition for partition in status.partitions)

    def _reload(self) -> None:
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._topology, self._read_ns = Topology.read(self._file), changed_ns
                for address in set(self._replicas) - set(self._topology.addresses()):
                    del self._replicas[address]
        except (OSError, ConfigError) as error:
            logger().error("topology not reloaded, the old one stays", reason=str(error))


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
    return f"searcher {replica.address}: {code.lower()}"


def _failures(partitions: Iterable[int], reason: str) -> Failures:
    return [pb.PartitionFailure(partition=partition, reason=reason) for partition in partitions]
