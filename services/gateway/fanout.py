"""Step 2: one replica of every partition is asked; those that fail are named, never hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio

from services.gateway import metrics
from services.gateway.topology import Topology
from vitrine.runtime.channels import internal_channel
from vitrine.runtime.errors import ConfigError, InvalidArgument
from vitrine.runtime.logs import logger
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc

# Taken off the caller's deadline, so that the gateway can still say which partition was late.
DEADLINE_MARGIN_S: Final = 0.05
_STATUS_TIMEOUT_S: Final = 1.0
_GONE: Final = "unavailable"

Response = TypeVar("Response", pb.SearcherSearchResponse, pb.GetProductsResponse)


class Replica:
    """One searcher. `serving`: the partitions it said it can answer, at the last status call."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.in_flight = 0
        self.serving: frozenset[int] = frozenset()
        self.status: pb.SearcherStatusResponse | None = None
        self.stub = searcher_pb2_grpc.SearcherStub(internal_channel(address))


class Fanout:
    """The searchers of one index."""

    def __init__(self, topology_file: Path, status_interval_s: float) -> None:
        self._file = topology_file
        self._topology = Topology.read(topology_file)
        self._read_ns = topology_file.stat().st_mtime_ns
        self._interval_s = status_interval_s
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

    async def search(
        self, request: pb.SearcherSearchRequest, partitions: Iterable[int], timeout_s: float
    ) -> tuple[list[pb.SearcherSearchResponse], list[pb.PartitionFailure]]:
        """`request` sent for each of `partitions` to exactly one searcher. Answers, and the partitions that failed."""

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.SearcherSearchResponse]:
            part = pb.SearcherSearchRequest()
            part.CopyFrom(request)
            part.partitions.extend(share)
            return replica.stub.Search(part, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))

        return await self._ask(partitions, call)

    async def products(
        self, request: pb.GetProductsRequest, partitions: Iterable[int], timeout_s: float
    ) -> tuple[list[pb.GetProductsResponse], list[pb.PartitionFailure]]:
        """Products of `partitions`, which must be those of the request's product ids."""

        def call(replica: Replica, share: Sequence[int]) -> Awaitable[pb.GetProductsResponse]:
            return replica.stub.GetProducts(request, timeout=max(0.001, timeout_s - DEADLINE_MARGIN_S))

        return await self._ask(partitions, call)

    async def _ask(
        self, partitions: Iterable[int], call: Callable[[Replica, Sequence[int]], Awaitable[Response]]
    ) -> tuple[list[Response], list[pb.PartitionFailure]]:
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
    ) -> tuple[list[Response], list[pb.PartitionFailure], frozenset[Replica]]:
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
                failures += outcome.failures
        return answers, failures, frozenset(gone)

    def _assigned(
        self, partitions: Iterable[int], without: frozenset[Replica]
    ) -> tuple[dict[Replica, list[int]], list[pb.PartitionFailure]]:
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
            if error.code().name == "INVALID_ARGUMENT":
                field, _, reason = (error.details() or "").partition(": ")
                raise InvalidArgument(field, reason) from error
            return f"searcher {replica.address}: {error.code().name.lower()}"
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
