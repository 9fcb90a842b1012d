"""The searchers of one index, as the gateway knows them: who serves what, how busy they are, how far to trust them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final

import grpc.aio

from services.gateway import metrics
from services.gateway.coalesce import Lane, Limits
from services.gateway.discovery import Discovery, Lookup, addresses_of
from services.gateway.own_time import awaiting
from services.gateway.topology import Topology
from vitrine.runtime.channels import NOTHING, Credentials, internal_channel
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.interceptors import code_of
from vitrine.runtime.logs import logger
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc

# Calls in a row that a searcher fails, or is overtaken in by another, before it is left alone; and for how long.
_FAILURES: Final = 3
_LEFT_ALONE_S: Final = 0.5
_LONGEST_ALONE_S: Final = 10.0
_STATUS_TIMEOUT_S: Final = 1.0
# One that says nothing for so long while it is asked is asked how it is; if it does not even say that, it hangs.
_SILENT_S: Final = 0.25
_LISTEN_INTERVAL_S: Final = 0.1
# Whoever has chosen a searcher calls it within this time, and a status call of it has ended.
_RETIRES_S: Final = 2.0

Failures = list[pb.PartitionFailure]


class Standing:
    """How far a searcher is trusted. One that fails again and again is left alone for a while, longer each time.

    After that it is asked again, and the first answer clears its name; meanwhile it is asked only where nobody else is.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._alone_until_s = 0.0

    def answered(self) -> None:
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """Calls that were under way when it was given up count no further."""
        if not self.trusted(now_s):
            return
        self._failures += 1
        if (times := self._failures - _FAILURES) >= 0:
            self._alone_until_s = now_s + min(_LONGEST_ALONE_S, _LEFT_ALONE_S * 2**times)
            metrics.EJECTIONS.inc()

    def trusted(self, now_s: float) -> bool:
        return now_s >= self._alone_until_s


class Replica:
    """One searcher.

    serving    the partitions it said it can answer, at the last status call
    last_call  the number of the call that was the last to go to it
    hangs      it has left searches and a status call without an answer

    `name`: whom its certificate names, where it was found behind one.
    """

    def __init__(self, address: str, credentials: Credentials = NOTHING, name: str = "") -> None:
        self.address = address
        self.name = name
        self.in_flight = 0
        self.last_call = 0
        self.hangs = False
        self.standing = Standing()
        self.serving: frozenset[int] = frozenset()
        self.status: pb.SearcherStatusResponse | None = None
        self._channel = internal_channel(address, credentials, name)
        self.stub = searcher_pb2_grpc.SearcherStub(self._channel)
        self._lanes: dict[tuple[str, tuple[int, ...]], Lane] = {}
        self._waiting: set[asyncio.Timeout] = set()
        self._heard_s = 0.0
        self._is_asked_how = False

    def lane(self, index: str, partitions: Sequence[int], limits: Limits) -> Lane:
        """The one that plain queries for these partitions share."""
        key = (index, tuple(partitions))
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(partial(self._search, *key), limits)
        return lane

    def waited_for(self) -> _WaitedFor:
        """Around an await for its answer. Raises TimeoutError when it turns out to hang."""
        if not self._waiting:
            self._heard_s = monotonic()
        return _WaitedFor(self._waiting)

    def heard(self) -> None:
        """It has said something, be it an error."""
        self._heard_s = monotonic()

    @property
    def silent(self) -> bool:
        """It is asked, and has said nothing for a while."""
        return bool(self._waiting) and monotonic() - self._heard_s > _SILENT_S

    def give_up(self) -> None:
        """Whoever waits for it need not any longer."""
        logger().warning("searcher hangs", address=self.address, waiting=len(self._waiting))
        self.hangs, self.serving = True, frozenset()
        for scope in self._waiting:
            scope.reschedule(0.0)
        self._waiting.clear()

    async def retire(self) -> None:
        """Closes its channel once its last call has ended. It is chosen no more."""
        await asyncio.sleep(_RETIRES_S)
        while self.in_flight:  # noqa: ASYNC110  (rare, and it may take minutes: a scan)
            await asyncio.sleep(_RETIRES_S)
        await self._channel.close()

    async def ask_status(self, timeout_s: float) -> None:
        began_s = monotonic()
        try:
            with awaiting():
                status = await self.stub.GetStatus(pb.SearcherStatusRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if timeout_s < _STATUS_TIMEOUT_S and code_of(error) == "DEADLINE_EXCEEDED":
                return  # a caller in a hurry: that says nothing about the searcher
            self.status, self.serving = None, frozenset()
            if self.silent and self._heard_s < began_s:
                self.give_up()
            return
        self.heard()
        self.hangs, self.status = False, status
        self.serving = frozenset(partition.partition for partition in status.partitions)

    async def ask_whether_it_hangs(self) -> None:
        """Once at a time."""
        if not self._is_asked_how:
            self._is_asked_how = True
            try:
                await self.ask_status(_STATUS_TIMEOUT_S)
            finally:
                self._is_asked_how = False

    async def _search(
        self, index: str, partitions: Sequence[int], queries: Sequence[pb.VectorQuery], timeout_s: float
    ) -> pb.SearcherSearchResponse:
        request = pb.SearcherSearchRequest(index=index, partitions=partitions, queries=queries)
        return await self.stub.Search(request, timeout=timeout_s)


class _WaitedFor:
    """One that waits. Ended early by its scope, which is among `waiting` meanwhile."""

    __slots__ = ("_scope", "_waiting")

    def __init__(self, waiting: set[asyncio.Timeout]) -> None:
        self._waiting = waiting
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._waiting.add(self._scope)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.discard(self._scope)
        await self._scope.__aexit__(kind, error, trace)


class Replicas:
    """All searchers that the topology names."""

    def __init__(
        self,
        topology_file: Path,
        status_interval_s: float,
        credentials: Credentials = NOTHING,
        lookup: Lookup = addresses_of,
    ) -> None:
        self._file = topology_file
        self._listed = Topology.read(topology_file)
        self._topology = Topology(())
        self._discovery = Discovery(lookup)
        self._read_ns = topology_file.stat().st_mtime_ns
        self._interval_s = status_interval_s
        self._credentials = credentials
        self._replicas: dict[str, Replica] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def statuses(self) -> list[pb.SearcherStatusResponse]:
        """What the searchers that answer said last."""
        return [replica.status for replica in self._replicas.values() if replica.status]

    def serving(self) -> set[int]:
        """Partitions that at least one searcher can answer."""
        return {partition for replica in self._replicas.values() for partition in replica.serving}

    async def watch(self) -> None:
        """Reloads the topology when it changes and asks searchers how they are, until cancelled."""
        await asyncio.gather(self._follow(), self._listen())

    def give_up_silent(self) -> bool:
        """Waits no longer for searchers that have not answered for a while. Whether there are any."""
        silent = [replica for replica in self._replicas.values() if replica.silent]
        for replica in silent:
            replica.give_up()
        return bool(silent)

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(_LISTEN_INTERVAL_S)
            silent = [replica for replica in self._replicas.values() if replica.silent]
            for replica in silent:
                self._begin(replica.ask_whether_it_hangs())

    async def _follow(self) -> None:
        while True:
            self._reload()
            self._take(await self._discovery.found(self._listed))
            await self.refresh(_STATUS_TIMEOUT_S)
            metrics.REPLICAS_UP.set(sum(replica.status is not None for replica in self._replicas.values()))
            await asyncio.sleep(self._interval_s)

    async def refresh(self, timeout_s: float = _STATUS_TIMEOUT_S) -> None:
        """Asks every searcher for its status now."""
        within_s = max(0.001, min(_STATUS_TIMEOUT_S, timeout_s))
        await asyncio.gather(*(replica.ask_status(within_s) for replica in self._replicas.values()))

    def assigned(
        self, partitions: Iterable[int], without: frozenset[Replica]
    ) -> tuple[dict[Replica, list[int]], Failures]:
        """Each partition with the least busy searcher that serves it, or, if none says so, that should.

        One that answers neither searches nor status calls is not waited for: its partitions fail at once.
        """
        now_s = monotonic()
        shares: dict[Replica, list[int]] = {}
        failures = []
        for partition in partitions:
            configured = self._configured(partition)
            others = [replica for replica in configured if replica not in without]
            candidates = [replica for replica in others if partition in replica.serving]
            candidates = candidates or [replica for replica in others if not replica.hangs]
            if not candidates:
                reason = "every searcher of it is unavailable" if configured else "no searcher serves it"
                failures.append(pb.PartitionFailure(partition=partition, reason=reason))
                continue
            trusted = [replica for replica in candidates if replica.standing.trusted(now_s)] or candidates
            # A searcher already asked for this query is preferred: one call carries several partitions. Of those that
            # are as busy, the one that was asked the longest time ago.
            chosen = min(trusted, key=lambda replica: (replica not in shares, replica.in_flight, replica.last_call))
            shares.setdefault(chosen, []).append(partition)
        return shares, failures

    def another(self, replica: Replica, partitions: Sequence[int]) -> Replica | None:
        """The least busy of those that could answer for `partitions` in its place."""
        now_s = monotonic()
        able = [
            other
            for other in self._configured(partitions[0])
            if other is not replica and other.serving.issuperset(partitions) and other.standing.trusted(now_s)
        ]
        return min(able, key=lambda other: other.in_flight, default=None)

    def _configured(self, partition: int) -> list[Replica]:
        return [self._replicas[a] for a in self._topology.replicas(partition) if a in self._replicas]

    def _take(self, topology: Topology) -> None:
        """From now on the searchers that it names are asked, and no others."""
        self._topology = topology
        names = topology.names()
        for address, replica in list(self._replicas.items()):
            if names.get(address) != replica.name:
                del self._replicas[address]
                self._begin(replica.retire())
        for address, name in names.items():
            if address not in self._replicas:
                self._replicas[address] = Replica(address, self._credentials, name)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reload(self) -> None:
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._listed, self._read_ns = Topology.read(self._file), changed_ns
        except (OSError, ConfigError) as error:
            logger().error("topology not reloaded, the old one stays", reason=str(error))
