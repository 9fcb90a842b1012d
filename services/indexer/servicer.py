"""The Indexer service: what operators ask of the owner of partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from services.indexer.partition import Partition
from services.indexer.pipeline import Pipeline
from services.indexer.upkeep import Upkeep
from vitrine.runtime.context import Context
from vitrine.runtime.errors import FailedPrecondition, InvalidArgument, Unavailable, UnknownIndex
from vitrine.stream.log import EventLog, Source, Stream
from vitrine.v1 import indexer_pb2 as pb
from vitrine.v1 import indexer_pb2_grpc

_ENDS_TIMEOUT_S: Final = 1.0


class IndexerServicer(indexer_pb2_grpc.IndexerServicer):
    def __init__(self, pipeline: Pipeline, upkeep: Upkeep, log: EventLog, index: str) -> None:
        self._pipeline = pipeline
        self._upkeep = upkeep
        self._log = log
        self._index = index
        # Of its own: calls that hang while the log is away must not take the threads of those who commit.
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="status")

    async def Roll(self, request: pb.RollRequest, context: Context) -> pb.RollResponse:
        chosen = self._chosen(request.index, request.partitions)
        return pb.RollResponse(rows_rolled=sum([await self._upkeep.roll(entry, now=True) for entry in chosen]))

    async def Compact(self, request: pb.CompactRequest, context: Context) -> pb.CompactResponse:
        chosen = self._chosen(request.index, request.partitions)
        return pb.CompactResponse(rows_rewritten=sum([await self._upkeep.compact(entry) for entry in chosen]))

    async def Collect(self, request: pb.CollectRequest, context: Context) -> pb.CollectResponse:
        chosen = self._chosen(request.index, request.partitions)
        counts = [await self._upkeep.collect(entry) for entry in chosen]
        return pb.CollectResponse(manifests=sum(one for one, _ in counts), shards=sum(two for _, two in counts))

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.OwnedPartition:
        partition = self._owned(request.index, request.partition)
        await partition.roll_back(request.version)
        return await self._status(partition)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.OwnedPartition:
        self._check(request.index)
        partition = self._pipeline.partition(request.partition)
        await partition.resume(
            request.skip_to if request.HasField("skip_to") else None,
            request.skip_live_to if request.HasField("skip_live_to") else None,
        )
        return await self._status(partition)

    async def GetStatus(self, request: pb.IndexerStatusRequest, context: Context) -> pb.IndexerStatusResponse:
        self._check(request.index)
        partitions = list(self._pipeline.partitions.values())
        return pb.IndexerStatusResponse(partitions=await self._statuses(partitions))

    async def _status(self, partition: Partition) -> pb.OwnedPartition:
        [status] = await self._statuses([partition])
        return status

    async def _statuses(self, partitions: Sequence[Partition]) -> list[pb.OwnedPartition]:
        ends = await self._ends([Source(partition.number, stream) for partition in partitions for stream in Stream])
        return [_status_of(partition, ends) for partition in partitions]

    async def _ends(self, sources: Sequence[Source]) -> Mapping[Source, int]:
        """Where the log ends; empty if it does not say so soon: the rest is worth knowing while the log is away."""
        try:
            async with asyncio.timeout(_ENDS_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._asking, self._log.end_offsets, sources)
        except (Unavailable, TimeoutError):
            return {}

    def _chosen(self, index: str, numbers: Sequence[int]) -> list[Partition]:
        self._check(index)
        owned = self._pipeline.partitions
        for number in numbers:
            if number not in owned:
                raise InvalidArgument("partitions", f"partition {number} is not owned here")
        return [self._owned(index, number) for number in numbers or list(owned)]

    def _owned(self, index: str, number: int) -> Partition:
        self._check(index)
        partition = self._pipeline.partition(number)
        if partition.publisher is None:
            raise FailedPrecondition(f"partition {number}: {partition.state}")
        return partition

    def _check(self, index: str) -> None:
        if index not in ("", self._index):
            raise UnknownIndex(index)


def _status_of(partition: Partition, ends: Mapping[Source, int]) -> pb.OwnedPartition:
    catalogue, live = (Source(partition.number, stream) for stream in (Stream.CATALOGUE, Stream.LIVE))
    status = pb.OwnedPartition(partition=partition.number, state=partition.state)
    status.end_offset, status.end_live_offset = ends.get(catalogue, 0), ends.get(live, 0)
    if partition.publisher is not None:
        manifest = partition.publisher.manifest
        status.next_offset, status.next_live_offset = manifest.next_offset, manifest.next_live_offset
        status.version = manifest.version
    return status
