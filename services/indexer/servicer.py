"""The Indexer service: what operators ask of the owner of partitions."""

from __future__ import annotations

import asyncio

from services.indexer.pipeline import Pipeline
from vitrine.runtime.context import Context
from vitrine.runtime.errors import InvalidArgument, UnknownIndex
from vitrine.stream.log import EventLog
from vitrine.v1 import indexer_pb2 as pb
from vitrine.v1 import indexer_pb2_grpc


class IndexerServicer(indexer_pb2_grpc.IndexerServicer):
    def __init__(self, pipeline: Pipeline, log: EventLog, index: str) -> None:
        self._pipeline = pipeline
        self._log = log
        self._index = index

    async def Roll(self, request: pb.RollRequest, context: Context) -> pb.RollResponse:
        self._check(request.index)
        wanted = list(request.partitions) or list(self._pipeline.owned)
        for number in wanted:
            if number not in self._pipeline.owned:
                raise InvalidArgument("partitions", f"partition {number} is not owned here")
        rolled = [await self._pipeline.roll_partition(self._pipeline.owned[number], now=True) for number in wanted]
        return pb.RollResponse(rows_rolled=sum(rolled))

    async def GetStatus(self, request: pb.IndexerStatusRequest, context: Context) -> pb.IndexerStatusResponse:
        self._check(request.index)
        response = pb.IndexerStatusResponse()
        for number, owned in self._pipeline.owned.items():
            response.partitions.add(
                partition=number,
                next_offset=owned.publisher.manifest.next_offset,
                end_offset=await asyncio.to_thread(self._log.end_offset, number),
                state=self._pipeline.state(number),
            )
        return response

    def _check(self, index: str) -> None:
        if index not in ("", self._index):
            raise UnknownIndex(index)
