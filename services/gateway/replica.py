"""One searcher, as the gateway knows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.gateway.coalesce import Lane, Limits
from vitrine.runtime.channels import internal_channel
from vitrine.v1 import searcher_pb2 as pb
from vitrine.v1 import searcher_pb2_grpc


class Replica:
    """One searcher. `serving`: the partitions it said it can answer, at the last status call."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.in_flight = 0
        self.serving: frozenset[int] = frozenset()
        self.status: pb.SearcherStatusResponse | None = None
        self.stub = searcher_pb2_grpc.SearcherStub(internal_channel(address))
        self._lanes: dict[tuple[str, tuple[int, ...]], Lane] = {}

    def lane(self, index: str, partitions: Sequence[int], limits: Limits) -> Lane:
        """The one that plain queries for these partitions share."""
        key = (index, tuple(partitions))
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(partial(self._search, *key), limits)
        return lane

    async def _search(
        self, index: str, partitions: Sequence[int], queries: Sequence[pb.VectorQuery], timeout_s: float
    ) -> pb.SearcherSearchResponse:
        request = pb.SearcherSearchRequest(index=index, partitions=partitions, queries=queries)
        return await self.stub.Search(request, timeout=timeout_s)
